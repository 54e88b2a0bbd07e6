/** Validates the URIs that a client registers. */

/** The hosts that stand for the user's own machine (RFC 8252, sections 7.3 and 8.3). */
const loopbackHosts = new Set(["127.0.0.1", "[::1]", "localhost"]);

/** A private-use scheme has a dot, because it is a domain name in reverse order (RFC 8252, section 7.1). */
const privateUseScheme = /^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$/;

/**
 * Redirect URIs are compared as strings. Therefore each must be written in the form in which browsers send it.
 * @returns what is wrong with the URI, for the developer of the client; `undefined` if it can be registered
 */
export function redirectUriFault(text: string): string | undefined {
  const url = parse(text);
  if (!url) return "is not an absolute URI in printable ASCII characters";
  const { protocol, hostname } = url;
  if (protocol === "https:") return commonFault(text, url);
  if (protocol === "http:")
    return loopbackHosts.has(hostname) ? commonFault(text, url) : "must use https, because its host is not loopback";
  if (privateUseScheme.test(protocol)) return commonFault(text, url);
  return "must use https, http for a loopback address, or a private-use scheme with a dot";
}

/** @returns what is wrong with the URL of a page or a key set; `undefined` if it can be registered */
export function linkFault(text: string): string | undefined {
  const url = parse(text);
  if (url?.protocol !== "https:") return "is not an https URL in printable ASCII characters";
  return commonFault(text, url);
}

const parse = (text: string): URL | undefined => {
  // Browsers read a backslash as a slash, and the parser removes control characters.
  return /^[!-~]+$/.test(text) && !text.includes("\\") && URL.canParse(text) ? new URL(text) : undefined;
};

function commonFault(text: string, { href, username, password }: URL): string | undefined {
  if (text.includes("#")) return "must not have a fragment";
  if (text.includes("*")) return "must not have a wildcard";
  if (username !== "" || password !== "") return "must not have user information";
  // The path of https://app.example is a slash, which may be left out.
  if (href !== text && href !== `${text}/`) return `must be written as ${href}`;
  return undefined;
}
