/** JSON of an unknown structure. */
export type Json = Record<string, unknown>;

/** Parses a JSON object. Returns an empty one if the text is something else. */
export function jsonOf(text: string): Json {
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ""));
    return typeof value === "object" && value !== null ? (value as Json) : {};
  } catch {
    return {};
  }
}

const maximumDepth = 50;

/**
 * Returns every string of a JSON value, and every number that is an id, with the name of its member and the JavaScript
 * expression that reads it.
 */
export function stringsOf(
  value: unknown,
  name = "",
  accessor = "",
  depth = 0,
): { name: string; value: string; accessor: string }[] {
  if (depth > maximumDepth) return []; // only the fuzzer itself sends such values
  if (typeof value === "string") return [{ name, value, accessor }];
  if (typeof value === "number" && /(^|_)id$/.test(name)) return [{ name, value: String(value), accessor }];
  if (Array.isArray(value))
    return value.flatMap((item, index) => stringsOf(item, name, `${accessor}[${index}]`, depth + 1));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([member, of]) =>
    stringsOf(of, member, `${accessor}[${JSON.stringify(member)}]`, depth + 1),
  );
}
