/** Parameters of requests that a client makes through a browser, from a query or a form (RFC 6749, section 3.1). */

export type Parameters = {
  /** The value; of a repeated parameter, the first one. `undefined` if it is absent or empty. */
  get(name: string): string | undefined;
  /** The names of parameters that are sent more than once. */
  repeated: ReadonlySet<string>;
};

/**
 * @param text `application/x-www-form-urlencoded`
 * @returns `undefined` if it has an escape that is malformed or not UTF-8
 */
export function parseParameters(text: string): Parameters | undefined {
  const pairs = decodePairs(text);
  if (!pairs) return undefined;
  const values = new Map<string, string>();
  const repeated = new Set<string>();
  for (const [name, value] of pairs) {
    if (values.has(name)) repeated.add(name);
    else values.set(name, value);
  }
  // A parameter without a value is treated as if it was omitted.
  return { get: (name) => values.get(name) || undefined, repeated };
}

/** For a redirect. Requests have 16 KiB for all headers and the URL. */
export const maxQueryLength = 12_288;

/** @returns the same parameters in ASCII, for a URL; `undefined` as `parseParameters` */
export const asQuery = (text: string): string | undefined =>
  decodePairs(text)
    ?.map((pair) => pair.map(encodeURIComponent).join("="))
    .join("&");

/** @returns the names and values in their order; `undefined` as `parseParameters` */
function decodePairs(text: string): [name: string, value: string][] | undefined {
  const pairs: [string, string][] = [];
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const separator = pair.indexOf("=");
    const name = decode(separator < 0 ? pair : pair.slice(0, separator));
    const value = separator < 0 ? "" : decode(pair.slice(separator + 1));
    if (name === undefined || value === undefined) return undefined;
    pairs.push([name, value]);
  }
  return pairs;
}

/** `URLSearchParams` would turn bytes that are not UTF-8 into U+FFFD, so different values would become one. */
function decode(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text.replaceAll("+", " "));
    return decoded.isWellFormed() ? decoded : undefined;
  } catch {
    return undefined;
  }
}
