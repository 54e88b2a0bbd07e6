/** HTML from templates in which every value is escaped. */

declare const kind: unique symbol;
/** Markup, which only `html` creates. */
export type Html = { readonly markup: string; readonly [kind]: "html" };
type Value = string | number | Html | readonly Html[] | undefined;

const made = new WeakSet<object>();

/** A template literal. Text in it is escaped, for elements and for quoted attributes. Markup stays, `undefined` is empty. */
export function html(parts: TemplateStringsArray, ...values: Value[]): Html {
  const markup = parts.map((part, index) => part + markupOf(values[index])).join("");
  const result = { markup };
  made.add(result);
  return result as Html;
}

function markupOf(value: Value): string {
  if (value === undefined) return "";
  if (typeof value === "string" || typeof value === "number") return escaped(String(value));
  if ("length" in value) return value.map(markupOf).join("");
  if (!made.has(value)) throw new TypeError("not made by html");
  return value.markup;
}

const references: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** A lone surrogate would be replaced when the text is encoded. */
const escaped = (text: string): string =>
  text.toWellFormed().replace(/[&<>"']/g, (character) => references[character] ?? "");
