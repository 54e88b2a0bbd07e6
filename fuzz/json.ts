/** JSON whose shape is not known before. */

export type Json = Record<string, unknown>;

/** The object that a text is in JSON; an empty one where it is none. */
export function jsonOf(text: string): Json {
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ""));
    return typeof value === "object" && value !== null ? (value as Json) : {};
  } catch {
    return {};
  }
}

/** No answer is nested deeper. */
const mostDepth = 50;

/** Each text in a JSON value, and each number that is an id, with the name of its member and the way to it in JavaScript. */
export function stringsOf(
  value: unknown,
  name = "",
  place = "",
  depth = 0,
): { name: string; value: string; place: string }[] {
  if (depth > mostDepth) return []; // sent by this fuzzer to see what a recursion does
  if (typeof value === "string") return [{ name, value, place }];
  if (typeof value === "number" && /(^|_)id$/.test(name)) return [{ name, value: String(value), place }];
  if (Array.isArray(value))
    return value.flatMap((item, index) => stringsOf(item, name, `${place}[${index}]`, depth + 1));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([member, of]) =>
    stringsOf(of, member, `${place}[${JSON.stringify(member)}]`, depth + 1),
  );
}
