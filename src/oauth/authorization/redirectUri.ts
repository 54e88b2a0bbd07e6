/** Redirect URIs of clients (RFC 6749, section 3.1.2; RFC 9700, section 4.1). */
import type { Client } from "../../clients/storeTypes.ts";

/** The host and the port of a loopback redirect URI. `localhost` is excluded: it may resolve to another host (RFC 8252, section 8.3). */
const loopback = /^http:\/\/(127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?(?=[/?]|$)/;

const maxPort = 65_535;

/**
 * Whether a client may be redirected to a URI: it is one of the client's registered URIs, compared as strings. Only the port of a
 * loopback address is free, because a native application gets a port from its operating system (RFC 8252, section 7.3).
 */
export const isRegistered = (uri: string, registered: readonly string[]): boolean =>
  registered.includes(uri) || (isLoopback(uri) && registered.some((one) => withoutPort(one) === withoutPort(uri)));

function isLoopback(uri: string): boolean {
  const [matched, , port = "1"] = loopback.exec(uri) ?? [];
  return matched !== undefined && Number(port) <= maxPort;
}

/** @returns any other URI as it is */
const withoutPort = (uri: string): string => uri.replace(loopback, "http://$1");

/**
 * Whether another program on the user's device can receive what is sent to a redirect URI: it has a scheme that any program can
 * claim, or is `http`, which is registered for a loopback address or `localhost` only. Then the identity of a public client is not
 * certain (RFC 8252, section 8.6).
 */
export const isInterceptable = (uri: string): boolean => !/^https:/i.test(uri);

/**
 * Whether a browser may be sent to a redirect URI before its user has decided. A client that registered itself is not verified:
 * its page could be one for phishing, behind a link to this service (RFC 9700, section 4.11.2). A program on the device is no page.
 */
export const isTrusted = ({ registration, isFirstParty }: Client, uri: string): boolean =>
  registration === "administrator" || isFirstParty || isInterceptable(uri);

/** What people see of a redirect URI: its host, or the scheme of a native application. What follows such a scheme is no host. */
export function placeOf(uri: string): string {
  const { host, protocol } = new URL(uri);
  return /^https?:$/.test(protocol) ? host : protocol;
}

/** What `form-action` of a Content-Security-Policy must allow for a form that redirects to this URI. */
export const formTarget = (uri: string): string =>
  /^https?:/i.test(uri) ? new URL(uri).origin : `${uri.slice(0, uri.indexOf(":"))}:`;

/**
 * Adds parameters to the query of a redirect URI. The URI itself remains as it was registered, character by character.
 * @param parameters those without a value are left out
 */
export function addToQuery(uri: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const added = Object.entries(parameters)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]))
    .join("&");
  if (added === "") return uri;
  const separator = !uri.includes("?") ? "?" : /[?&]$/.test(uri) ? "" : "&";
  return `${uri}${separator}${added}`;
}
