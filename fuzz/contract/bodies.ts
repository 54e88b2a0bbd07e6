/** Request bodies in the media type of their operation: JSON, or a form. */
import { type Json, jsonOf } from "../json.ts";
import type { Operation } from "./operations.ts";

const formType = "application/x-www-form-urlencoded";

export const typeOfBody = (operation: Operation): string => operation.body?.type ?? "application/json";

export const isForm = (operation: Operation): boolean => typeOfBody(operation) === formType;

/**
 * @param text JSON
 * @returns the text of the body. In a form, the members of the object are parameters; another value is sent as it is
 */
export function encodeBody(operation: Operation, text: string): string {
  const members = Object.entries(jsonOf(text)).map(([name, value]): [string, string] => [name, JSON.stringify(value)]);
  return isForm(operation) && members.length > 0 ? encodeForm(members) : text;
}

/** @param members each name, which may occur twice, with its value as JSON */
export function encodeForm(members: [name: string, json: string][]): string {
  const asText = (json: string) => {
    const { value } = jsonOf(`{"value":${json}}`);
    return typeof value === "string" ? value : json;
  };
  return new URLSearchParams(members.map(([name, json]): [string, string] => [name, asText(json)])).toString();
}

/** The members of a body; none if it is not an object or a form. */
export function decodeBody(operation: Operation | undefined, body: Buffer | undefined): Json {
  const text = body?.toString() ?? "";
  if (operation === undefined || !isForm(operation)) return jsonOf(text);
  return Object.fromEntries(new URLSearchParams(text));
}
