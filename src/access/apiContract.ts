/** The contract of a registered API: its own OpenAPI document, whose `security` forward-auth enforces. */
import { type Contract, ContractError, parseContract } from "../../packages/verify/src/contract/contract.ts";
import { Problem, type RequestError } from "../problems/problems.ts";
import { toJson } from "./contractJson.ts";
import { parseContractText } from "./contractText.ts";

/** A document as text, YAML or JSON, or as an object. */
export type GivenContract = string | Readonly<Record<string, unknown>>;

const pointer = "#/contract";
/** As many as the contract of this service allows in a problem, and as long as it allows. */
const maxErrors = 20;
const maxDetailLength = 512;

/**
 * Requires that the document's security can be enforced with the scopes of its API.
 * @returns the document as JSON, which takes less time to parse again than YAML
 * @throws {Problem} `invalid-request` with all reasons why it cannot be enforced; `overloaded`
 */
export async function readApiContract(given: GivenContract, scopes: readonly string[]): Promise<string> {
  try {
    const json = typeof given === "string" ? await parseContractText(given) : toJson(given);
    requireScopes(parseContract(JSON.parse(json)).scopes, scopes, pointer);
    return json;
  } catch (error) {
    throw asInvalid(error, pointer);
  }
}

/**
 * @param contract as `readApiContract` returns it
 * @throws {Problem} `invalid-request` if it requires a scope that the API would not have, or this version cannot enforce it
 */
export function requireScopesOfContract(contract: string, scopes: readonly string[]): void {
  try {
    requireScopes(parseStored(contract).scopes, scopes, "#/scopes");
  } catch (error) {
    throw asInvalid(error, pointer);
  }
}

/**
 * Parses a stored contract, which an earlier version may have accepted, or a concurrent change may have taken scopes from.
 * @throws {ContractError} if it cannot be enforced
 */
export function parseStoredContract(contract: string, scopes: ReadonlySet<string>): Contract {
  const parsed = parseStored(contract);
  const missing = parsed.scopes.filter((name) => !scopes.has(name));
  if (missing.length > 0) throw new ContractError(missing.map(notAScope));
  return parsed;
}

function parseStored(contract: string): Contract {
  let document: unknown;
  try {
    document = JSON.parse(contract);
  } catch {
    throw new ContractError(["The stored document is not JSON."]);
  }
  return parseContract(document);
}

function requireScopes(required: readonly string[], scopes: readonly string[], pointer: string): void {
  const missing = required.filter((name) => !scopes.includes(name));
  if (missing.length === 0) return;
  throw invalid(missing.map((name) => ({ pointer, detail: notAScope(name) })));
}

const notAScope = (name: string) => `the contract requires ${name}, which is not a scope of the API`;

/** @returns a problem for a contract that cannot be enforced; every other error as it is */
const asInvalid = (error: unknown, pointer: string): unknown =>
  error instanceof ContractError ? invalid(error.problems.map((detail) => ({ pointer, detail }))) : error;

function invalid(found: { pointer: string; detail: string }[]): Problem {
  const [first = { pointer, detail: "cannot be enforced" }, ...others] = found
    .slice(0, maxErrors)
    .map(({ pointer, detail }): RequestError => ({ pointer, detail: detail.slice(0, maxDetailLength).toWellFormed() }));
  return new Problem("invalid-request", { errors: [first, ...others] });
}
