/** A contract that cannot be bound or guarded fails the start. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadContract } from "../../src/openapi/contract.ts";
import { ContractError } from "../../src/openapi/document.ts";
import { parseContract, parsedContractFile } from "../../src/openapi/parseContract.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const text = await readFile("openapi.yaml", "utf8");
const folder = await temporaryFolder();

/** Loads the contract with the first occurrence of a text replaced. */
async function load(from: string, to: string) {
  expect(text).toContain(from);
  const file = join(folder, "openapi.yaml");
  await writeFile(file, text.replace(from, to));
  return loadContract(file, undefined);
}

describe("the contract that the build has parsed", () => {
  test("is the contract of openapi.yaml", async () => {
    const { digest, document } = JSON.parse(await readFile("dist/openapi.json", "utf8"));
    expect(document).toEqual(parse(text));
    expect(JSON.parse(await parsedContractFile(text))).toEqual({ digest, document });
  });

  test("is used if it was made from the same text, and only then", async () => {
    const file = join(folder, "parsed.json");
    await writeFile(file, (await parsedContractFile("a: 1")).replace('{"a":1}', '{"a":2}'));
    expect(await parseContract("a: 1", file)).toEqual({ a: 2 });
    expect(await parseContract("a: 3", file)).toEqual({ a: 3 });
    expect(await parseContract("a: 3", join(folder, "missing.json"))).toEqual({ a: 3 });
  });
});

describe("a contract", () => {
  test("of this project can be loaded", async () => {
    const { operations } = await load("Latchkey", "Latchkey");
    expect(operations.map(({ id }) => id)).toContain("getResource");
  });

  test.each([
    ["an operation that nobody implements", "operationId: getResource", "operationId: getTreasure"],
    ["no operationId", "      operationId: getResource\n", ""],
    ["no security said", "      summary: Register a user", "      summary: Register a user\n      x-security: []"],
    [
      "another security than the generated one",
      "security:\n        - basicAuth: []\n        - bearerAuth: []",
      "security:\n        - bearerAuth: []",
    ],
    [
      "security opened by hand",
      "security:\n        - basicAuth: []\n        - bearerAuth: []\n        - apiKeyAuth: []",
      "security: []",
    ],
    ["another scope than the generated one", "- bearerAuth: [account:read]", "- bearerAuth: [account:write]"],
    ["a method that is not bound", "  /livez:\n    get:", "  /livez:\n    trace:"],
    ["two media types for one body", "text/html:", "text/plain: {}\n            text/html:"],
    ["a reference that leads nowhere", "#/components/responses/Health", "#/components/responses/Wealth"],
  ])("with %s is refused", async (name, from, to) => {
    const change =
      name === "no security said" ? load("      security: []\n      requestBody", "      requestBody") : load(from, to);
    await expect(change).rejects.toThrow(ContractError);
  });
});
