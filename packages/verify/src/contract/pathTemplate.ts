/** Path templates such as `/orders/{id}`, and the paths of requests, as segments. */
import { ContractError } from "./document.ts";

/**
 * A part of a path between two slashes. A `text` matches itself. A `parameter` matches any part that is not empty. A `pattern`,
 * such as `{name}.json`, matches a part that has all its texts in their order, with something between them.
 */
export type Segment =
  | { kind: "text"; text: string }
  | { kind: "pattern"; texts: readonly string[] }
  | { kind: "parameter" };

export type PathTemplate = {
  segments: readonly Segment[];
  /** The template without the names of its parameters: `/orders/{}`. Equal shapes match the same paths. */
  shape: string;
};

const maxPathLength = 2000;
const maxSegments = 50;

/**
 * Parses a path template of a contract.
 * @throws {ContractError}
 */
export function parseTemplate(path: string): PathTemplate {
  const refuse = (reason: string): never => {
    throw new ContractError([`The path ${path} ${reason}.`]);
  };
  if (!path.startsWith("/")) refuse("does not begin with a slash");
  if (!path.isWellFormed()) refuse("is not valid Unicode");
  if (path.length > maxPathLength) refuse(`is longer than ${maxPathLength} characters`);
  if (/[?#\\;]/.test(path)) refuse("has one of the characters ? # \\ ;");
  const names = [...path.matchAll(/\{([^{}/]+)\}/g)].map(([, name]) => name);
  if (new Set(names).size < names.length) refuse("has a parameter twice");
  const shape = encoded(path.replace(/\{[^{}/]+\}/g, "{}"));
  if (/[{}]/.test(shape.replaceAll("{}", ""))) refuse("has a brace that does not belong to a parameter");
  if (shape.includes("{}{}")) refuse("has two parameters without a text between them");
  const parts = shape.slice(1).split("/");
  if (parts.length > maxSegments) refuse(`has more than ${maxSegments} segments`);
  if (parts.slice(0, -1).includes("")) refuse("has an empty segment");
  if (parts.some((part) => part === "." || part === "..")) refuse("has a segment of dots");
  return { segments: parts.map(segmentOf), shape };
}

/** @param part has `{}` for each parameter */
function segmentOf(part: string): Segment {
  if (part === "{}") return { kind: "parameter" };
  const texts = part.split("{}");
  return texts.length === 1 ? { kind: "text", text: texts[0] ?? "" } : { kind: "pattern", texts };
}

/** Percent-encodes what a path cannot contain, as clients do. */
const encoded = (text: string): string =>
  text.replace(/%[0-9a-f]{2}|[^\x21-\x7e]+|[%"<>^`|]/gi, (found) =>
    /^%[0-9a-f]{2}$/i.test(found) ? found.toUpperCase() : encodeURIComponent(found),
  );

/** Whether a segment matches a pattern. Takes the first position of each text that leaves at least one character before it. */
export function matchesPattern(texts: readonly string[], segment: string): boolean {
  const first = texts[0] ?? "";
  const last = texts[texts.length - 1] ?? "";
  if (!segment.startsWith(first) || !segment.endsWith(last)) return false;
  let position = first.length;
  for (const text of texts.slice(1, -1)) {
    const found = segment.indexOf(text, position + 1);
    if (found < 0) return false;
    position = found + text.length;
  }
  return position + 1 <= segment.length - last.length;
}

/** The path of a request target, without its query. */
export function pathOfTarget(target: string): string {
  const end = target.indexOf("?");
  return end < 0 ? target : target.slice(0, end);
}

/** Whether a client that follows RFC 3986 can send this path. */
export const isRequestPath = (path: string): boolean => path.length <= maxRequestPathLength && isVisible.test(path);

/** Like `path.slice(1).split("/")`, but twice as fast. */
export function splitPath(path: string): string[] {
  const segments: string[] = [];
  let start = 1;
  for (let end = path.indexOf("/", start); end >= 0; end = path.indexOf("/", start)) {
    segments.push(path.slice(start, end));
    start = end + 1;
  }
  segments.push(path.slice(start));
  return segments;
}

const maxRequestPathLength = 8192;

/** A slash, then visible ASCII characters without `#` and `\`, which some URL parsers take for a fragment and for a slash. */
const isVisible = /^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/;

/**
 * Whether every router reads a path alike, as long as the contract has no capitals. False for a capital, a dot at the beginning of
 * a segment, a `%` and every other character that a router may treat.
 */
export const isUnmistakable = (path: string): boolean => /^\/[a-z0-9_./-]*$/.test(path) && !path.includes("/.");

const maxDecodings = 4;
/** More than any contract has, with room for slashes in parameters. Each of them is decoded several times. */
const maxRequestSegments = 200;

/**
 * The segments of a path as routers and proxies could read them. They may decode percent-encoding, before or after they look for
 * slashes, several times; ignore case and empty segments; and cut `;` and what follows it.
 * @returns `undefined` for a path that no client sends: with segments of dots, control characters, malformed encoding or hundreds of
 * slashes
 */
export function readingsOf(path: string): string[][] | undefined {
  // Some routers take the first `;` for the beginning of the query.
  const semicolon = path.indexOf(";");
  if (semicolon >= 0 && path.includes("/", semicolon)) return undefined;
  if (!isDecodable(path)) return undefined;
  const texts = [path];
  for (let text = decoded(path); text !== texts[0]; text = decoded(text)) {
    if (texts.length > maxDecodings) return undefined;
    texts.unshift(text);
  }
  const segments = texts.map((text) => text.toLowerCase().split(/[/\\]/));
  if (segments.some(({ length }) => length > maxRequestSegments)) return undefined;
  const readings = segments.flatMap((some, times) => {
    let parts = some;
    return [parts, ...Array.from({ length: times }, () => (parts = parts.map(decoded)))];
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is rejected
  if (readings.some((parts) => parts.some((part) => /^\.\.?(;|$)|[\x00-\x1f\x7f]/.test(part)))) return undefined;
  return [...readings, ...readings.map((parts) => parts.map((part) => part.split(";", 1)[0] ?? ""))].map(withoutEmpty);
}

const withoutEmpty = (parts: readonly string[]): string[] => parts.filter((part) => part !== "");

/** Decodes what can be decoded, once, into lower case. */
const decoded = (text: string): string =>
  text
    .replace(/(?:%[0-9a-f]{2})+/gi, (found) => (isDecodable(found) ? decodeURIComponent(found) : found))
    .toLowerCase();

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** A template as a lenient router compares it: without case and empty segments. There are two if its text is percent-encoded. */
export function lenientTemplates({ shape }: PathTemplate): PathTemplate[] {
  const forms = new Set([shape.toLowerCase(), decoded(shape)]);
  return [...forms].map((form) => {
    const parts = withoutEmpty(form.split("/"));
    return { segments: parts.map(segmentOf), shape: `/${parts.join("/")}` };
  });
}
