/** Reads an OpenAPI document: its text, and the parts that it refers to. */

/** Why a contract cannot be enforced. */
export class ContractError extends Error {
  override readonly name = "ContractError";
  /** A sentence for each reason. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: ErrorOptions) {
    const shown = problems.slice(0, maxShownProblems);
    const others = problems.length - shown.length;
    if (others > 0) shown.push(`${others} more problems are not shown.`);
    super(`The contract cannot be enforced. ${shown.join(" ")}`, options);
    this.problems = problems;
  }
}

const maxShownProblems = 20;

/** UTF-16 code units. */
const maxTextLength = 5 * 1024 * 1024;

export type Members = { readonly [name: string]: unknown };

export const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A member of the object itself. Names such as `constructor` are members only if the document has them. */
export const member = (object: Members, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined;

/**
 * Parses the text of a document, YAML 1.2 or JSON. Nothing outside the text is read.
 * @throws {ContractError}
 */
export async function parseDocument(text: string): Promise<unknown> {
  if (text.length > maxTextLength) throw new ContractError([`It is longer than ${maxTextLength} characters.`]);
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch {
      // YAML can begin with a brace, too. If it is neither, the parser of YAML gives the better reason.
    }
  }
  const { parse } = await import("yaml");
  try {
    return parse(text, { logLevel: "error", merge: true });
  } catch (error) {
    const reason = error instanceof RangeError ? "It is nested too deeply" : firstLine(error);
    throw new ContractError([`It is neither YAML nor JSON: ${reason}.`], { cause: error });
  }
}

const firstLine = (error: unknown): string => String(error).split("\n", 1)[0]?.replace(/[.:]$/, "") ?? "";

const maxReferences = 20;

/**
 * Follows the `$ref`s of an object to another part of the same document.
 * @param where what the object is, for the reason
 * @returns the object. Members next to a `$ref` are added to those that it refers to
 * @throws {ContractError}
 */
export function resolve(document: Members, value: unknown, where: string): Members {
  const siblings: Members[] = [];
  let current = value;
  for (let count = 0; count <= maxReferences; count += 1) {
    if (!isObject(current)) throw new ContractError([`${where} is not an object.`]);
    const reference = member(current, "$ref");
    if (reference === undefined) return combine([current, ...siblings.reverse()], where);
    const { $ref: _, ...others } = current;
    siblings.push(others);
    current = followReference(document, reference, where);
  }
  throw new ContractError([`${where} has a $ref that does not end.`]);
}

function followReference(document: Members, reference: unknown, where: string): unknown {
  if (typeof reference !== "string" || !reference.startsWith("#/")) {
    throw new ContractError([
      `${where} refers to ${JSON.stringify(reference)}, which is not in this document. Bundle the files into one.`,
    ]);
  }
  let current: unknown = document;
  for (const part of reference.slice("#/".length).split("/")) {
    const name = decoded(part).replaceAll("~1", "/").replaceAll("~0", "~");
    current = isObject(current) ? member(current, name) : undefined;
  }
  if (current === undefined) throw new ContractError([`${where} refers to ${reference}, which does not exist.`]);
  return current;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** OpenAPI does not define which of two members with the same name counts. */
function combine(objects: readonly Members[], where: string): Members {
  const [only = {}, ...others] = objects;
  if (others.every((object) => Object.keys(object).length === 0)) return only;
  const combined = new Map<string, unknown>();
  for (const [name, value] of objects.flatMap(Object.entries)) {
    if (combined.has(name) && !["summary", "description"].includes(name)) {
      throw new ContractError([`${where} has ${name} twice: beside its $ref, and in what that refers to.`]);
    }
    combined.set(name, value);
  }
  return Object.fromEntries(combined);
}
