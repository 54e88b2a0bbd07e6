/** How requests leave this client: without the browser's own credentials, and to no other place than their URL. */
import { RedirectError } from "./problems.ts";
import type { Fetch } from "./retry.ts";

/**
 * Overrides whatever the caller has set: a redirect would carry a password or a token to another origin, and with ambient
 * credentials (cookies, cached Basic credentials) a browser answers a 401 with its own login dialog.
 * @returns a copy; the original can still be read
 */
export const hardened = (request: Request): Request =>
  new Request(request.clone(), { redirect: "error", credentials: "omit" });

/** The global fetch. With `manual` a redirect is not followed either, but is told apart from a lost connection. */
export const globalFetch: Fetch = (request) => globalThis.fetch(request, { redirect: "manual" });

/** @returns a fetch that rejects with a `RedirectError` where the response is a redirect, or came after one */
export function withoutRedirects(fetch: Fetch): Fetch {
  return async (request) => {
    const response = await fetch(request).catch((error: unknown) => {
      throw isRefusedRedirect(error) ? new RedirectError(request, { cause: error }) : error;
    });
    if (!response.redirected && response.type !== "opaqueredirect" && !redirects.includes(response.status)) {
      return response;
    }
    await response.body?.cancel();
    throw new RedirectError(request);
  };
}

const redirects = [301, 302, 303, 307, 308];

/** Node says in the cause why it rejected. Browsers do not say it at all. */
const isRefusedRedirect = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof Error && error.cause.message === "unexpected redirect";

/** Whether a URL is at or below a base URL. A relative base URL is resolved as the browser does it. */
export const isBelow = (baseUrl: string, url: string): boolean =>
  url.startsWith(new Request(`${baseUrl.replace(/\/$/, "")}/`).url);
