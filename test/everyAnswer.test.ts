import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { answersFolder, declaredAnswers } from "./support/answers.ts";

test("every declared answer of every operation was seen by a test", () => {
  const seen = new Map<string, number>();
  for (const file of readdirSync(answersFolder)) {
    for (const pair of readFileSync(`${answersFolder}/${file}`, "utf8").trim().split("\n")) {
      seen.set(pair, (seen.get(pair) ?? 0) + 1);
    }
  }
  const declared = declaredAnswers();
  writeFileSync("build/answers.txt", declared.map((pair) => `${pair}: seen ${seen.get(pair) ?? 0} times\n`).join(""));
  expect(declared.filter((pair) => !seen.has(pair))).toEqual([]);
});
