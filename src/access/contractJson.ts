/** The form in which contracts of APIs are stored. */
import { ContractError } from "../../packages/verify/src/contract/contract.ts";

/** UTF-16 code units of the JSON. A YAML document can repeat a part of itself many times. */
const maxLength = 4_000_000;

/** @throws {ContractError} if the document refers to itself, or is too deep or too long */
export function toJson(document: unknown): string {
  let json: string;
  try {
    json = JSON.stringify(document);
  } catch {
    throw new ContractError(["It refers to itself, or is nested too deeply."]);
  }
  if (json.length > maxLength) throw new ContractError([`As JSON, it is longer than ${maxLength} characters.`]);
  return json;
}
