/**
 * Protection against cross-site request forgery. Browsers add cached Basic credentials and cookies to a form of another site, so
 * that valid credentials do not prove that the user wants the change.
 */
import type { Request } from "express";
import { Problem } from "../problems/problems.ts";

/**
 * @param proof what authenticates the request; `undefined` if credentials do not matter
 * @throws {Problem} `cross-site-request`
 */
export type CrossSiteCheck = (request: Request, proof: "authorization" | "cookie" | undefined) => void;

/**
 * The check of requests with an unsafe method. It reads headers that a page cannot set: Sec-Fetch-Site (W3C Fetch Metadata) and
 * Origin (RFC 6454). A client that sends neither, such as curl, is not a browser.
 * @param allowedOrigins `CORS_ORIGINS`: other origins that may make changes
 * @param publicUrl the URL for browsers, if Host does not have it
 */
export function crossSiteCheck(allowedOrigins: readonly string[] = [], publicUrl?: string): CrossSiteCheck {
  const publicHost = publicUrl && new URL(publicUrl).host;

  /** `same-site` counts as another origin: it can be another application, on another port or subdomain. */
  function isCrossOrigin({ headers, host }: Request): boolean {
    const site = headers["sec-fetch-site"];
    if (site !== undefined) return site !== "same-origin" && site !== "none";
    // Without TLS, and in browsers before 2023, only Origin is sent. A page without an origin sends "null".
    const { origin } = headers;
    return origin !== undefined && ![host, publicHost].includes(origin.replace(/^https?:\/\//, ""));
  }

  return (request, proof) => {
    if (!isCrossOrigin(request)) return;
    // Only the pages of this service use its cookies.
    if (proof === "cookie") throw new Problem("cross-site-request");
    if (allowedOrigins.includes(request.headers.origin ?? "")) return;
    if (!allowedOrigins.includes("*")) throw new Problem("cross-site-request");
    if (proof && !neededPreflight(request)) {
      throw new Problem("cross-site-request", {
        detail:
          "If CORS_ORIGINS is *, a page of another origin must send Content-Type: application/json, or Bearer credentials.",
      });
    }
  };
}

/**
 * Whether a browser has sent a preflight for this request (Fetch, "CORS-safelisted method" and "CORS-safelisted
 * request-header"). With `*`, a preflight fails for the browser's credentials, so that the credentials are the script's own.
 */
const neededPreflight = ({ method, headers }: Request): boolean =>
  method !== "POST" ||
  /^application\/json *(;|$)/i.test(headers["content-type"] ?? "") ||
  /^bearer /i.test(headers.authorization ?? ""); // a browser adds only Basic by itself
