/** A contract whose references are followed: recursive schemas become circular objects. */

/** Keywords that only explain, and change nothing. */
export const annotations = ["title", "summary", "description", "example", "examples", "externalDocs", "$comment"];

type Json = Record<string, unknown>;

/**
 * Copies a document with each `$ref` replaced by what it leads to. What stands beside a reference
 * counts as well, as JSON Schema has it, and becomes an `allOf`.
 */
export function dereference<T extends object>(document: T): T {
  const copies = new Map<object, object>();

  const copy = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const known = copies.get(value);
    if (known) return known;
    const { $ref, ...beside } = value as Json;
    if (typeof $ref === "string") {
      const isAlone = Object.keys(beside).every((key) => annotations.includes(key));
      return isAlone ? copy(find($ref)) : copy({ allOf: [find($ref), beside] });
    }
    const made = Array.isArray(value) ? [] : {};
    copies.set(value, made);
    for (const [key, inner] of Object.entries(value)) Object.assign(made, { [key]: copy(inner) });
    return made;
  };

  /** A JSON Pointer within this document (RFC 6901, section 6): the contract is one file. */
  const find = (reference: string): unknown => {
    const keys = reference.split("/").slice(1);
    const names = keys.map((key) => decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~"));
    const found = names.reduce<unknown>((node, name) => (node as Json | undefined)?.[name], document);
    if (!reference.startsWith("#/") || found === undefined) throw new Error(`${reference} does not lead anywhere.`);
    return found;
  };

  return copy(document) as T;
}
