/** Compares all observed responses with the contract. build/answers.txt shows the result. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { answersFolder, declaredAnswers } from "../support/answers.ts";

const declared = declaredAnswers();
const seen = new Map<string, number>();
for (const file of readdirSync(answersFolder)) {
  for (const pair of readFileSync(`${answersFolder}/${file}`, "utf8").trim().split("\n")) {
    seen.set(pair, (seen.get(pair) ?? 0) + 1);
  }
}
const pairs = [...declared].flatMap(([operation, statuses]) => statuses.map((status) => `${operation} ${status}`));
writeFileSync("build/answers.txt", table());

test("every declared response of every operation was observed", () => {
  expect(pairs.filter((pair) => !seen.has(pair))).toEqual([]);
});

test("no other response was observed", () => {
  expect([...seen.keys()].filter((pair) => !pairs.includes(pair))).toEqual([]);
});

/** Operations by status: how often each was observed, and a dot where it is neither declared nor observed. */
function table(): string {
  const statuses = [...new Set([...pairs, ...seen.keys()].map((pair) => pair.split(" ")[1] as string))].sort();
  const width = Math.max(...[...declared.keys()].map((operation) => operation.length));
  const line = (name: string, cells: string[]) =>
    `${name.padEnd(width)}${cells.map((cell) => cell.padStart(7)).join("")}\n`;
  const rows = [...declared].map(([operation, itsStatuses]) =>
    line(
      operation,
      statuses.map((status) => String(seen.get(`${operation} ${status}`) ?? (itsStatuses.includes(status) ? 0 : "·"))),
    ),
  );
  return line("", statuses) + rows.join("");
}
