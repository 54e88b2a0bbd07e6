/** Request bodies in the media type of their operation: JSON, or a form. */
import { type Json, jsonOf } from "../json.ts";
import type { Operation } from "./operations.ts";

const formType = "application/x-www-form-urlencoded";

export const typeOfBody = (operation: Operation): string => operation.body?.type ?? "application/json";

/**
 * @param text JSON
 * @returns the text of the body. In a form, the members of the object are parameters; another value is sent as it is
 */
export function encodeBody(operation: Operation, text: string): string {
  const members = Object.entries(jsonOf(text));
  if (typeOfBody(operation) !== formType || members.length === 0) return text;
  const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  return new URLSearchParams(members.map(([name, value]): [string, string] => [name, asText(value)])).toString();
}

/** The members of a body; none if it is not an object or a form. */
export function decodeBody(operation: Operation | undefined, body: Buffer | undefined): Json {
  const text = body?.toString() ?? "";
  if (operation === undefined || typeOfBody(operation) !== formType) return jsonOf(text);
  return Object.fromEntries(new URLSearchParams(text));
}
