/** Sends requests without the browser's own credentials, and without following redirects. */
import { RedirectError } from "./problems.ts";
import type { Fetch } from "./retry.ts";

/**
 * Overrides the options of the caller. A redirect would send a password or a token to another origin. With ambient
 * credentials (cookies, cached Basic credentials), a browser shows its login dialog after a 401.
 * @returns a copy; the body of the original can still be read
 */
export const hardened = (request: Request): Request =>
  new Request(request.clone(), { redirect: "error", credentials: "omit" });

/** The global fetch. With `manual`, a redirect is not followed and can be distinguished from a lost connection. */
export const globalFetch: Fetch = (request) => globalThis.fetch(request, { redirect: "manual" });

/** @returns a fetch that rejects with a `RedirectError` if the response is a redirect or was redirected */
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

/** Node.js gives the reason in the cause. Browsers do not give it. */
const isRefusedRedirect = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof Error && error.cause.message === "unexpected redirect";

/** Whether a URL is at or below a base URL. A relative base URL is resolved like in the browser. */
export const isBelow = (baseUrl: string, url: string): boolean =>
  url.startsWith(new Request(`${baseUrl.replace(/\/$/, "")}/`).url);
