/** Resolves the references of a contract. Recursive schemas become circular objects. */

/** Keywords without an effect on what is valid. */
export const annotations = ["title", "summary", "description", "example", "examples", "externalDocs", "$comment"];

type Json = Record<string, unknown>;

/**
 * Copies a document and replaces each `$ref` by its target. Keywords beside a reference apply too (JSON Schema
 * 2020-12), and are combined with the target in an `allOf`.
 * @throws {Error} if a reference has no target
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

  /** Resolves a JSON Pointer within this document (RFC 6901, section 6). */
  const find = (reference: string): unknown => {
    const keys = reference.split("/").slice(1);
    const names = keys.map((key) => decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~"));
    const found = names.reduce<unknown>((node, name) => (node as Json | undefined)?.[name], document);
    if (!reference.startsWith("#/") || found === undefined) throw new Error(`${reference} has no target.`);
    return found;
  };

  return copy(document) as T;
}
