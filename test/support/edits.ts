/** Edits of the contract, for the tests of its checks. */
import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { type Document, parseDocument } from "yaml";

export type Edit = (contract: Document) => void;

export const original = parseDocument(await readFile("openapi.yaml", "utf8"));

/** Returns a copy of the contract with these edits. */
export function edited(...edits: Edit[]): Document {
  const contract = original.clone();
  for (const edit of edits) edit(contract);
  return contract;
}

export const set =
  (path: string[], value: unknown): Edit =>
  (contract) =>
    contract.setIn(path, contract.createNode(value));
export const add =
  (path: string[], value: unknown): Edit =>
  (contract) =>
    contract.addIn(path, contract.createNode(value));
export const remove =
  (...path: string[]): Edit =>
  (contract) =>
    expect(contract.deleteIn(path), `${path.join(" ")} was there`).toBe(true);

export const operation = (method: string, path: string, ...rest: string[]) => ["paths", path, method, ...rest];
export const schema = (name: string, ...rest: string[]) => ["components", "schemas", name, ...rest];
export const member = (name: string, property: string, ...rest: string[]) =>
  schema(name, "properties", property, ...rest);
export const response = (name: string, ...rest: string[]) => ["components", "responses", name, ...rest];
export const header = (name: string, ...rest: string[]) => ["components", "headers", name, ...rest];
