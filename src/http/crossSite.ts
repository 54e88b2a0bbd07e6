/**
 * Refuses changes that a page of another site asks for. A browser adds cached Basic credentials to a cross-site form by
 * itself, so that the credentials of such a request do not show what its user wants.
 */
import type { Request } from "express";
import { Problem } from "../problems/problems.ts";

/** @throws {Problem} `cross-site-request` */
export type CrossSiteCheck = (request: Request) => void;

/**
 * The check of requests that change something. It looks at headers that a page cannot set: Sec-Fetch-Site (W3C Fetch Metadata)
 * and Origin (RFC 6454). What sends neither, such as curl, is no page.
 * @param allowedOrigins `CORS_ORIGINS`: pages that may change something, too
 * @param publicUrl where browsers reach the service, if that is not what Host says
 */
export function crossSiteCheck(allowedOrigins: readonly string[] = [], publicUrl?: string): CrossSiteCheck {
  const publicHost = publicUrl && new URL(publicUrl).host;

  /** Everything but `same-origin` and `none`: `same-site` is another application, on another port or subdomain. */
  function isOfOtherOrigin({ headers, host }: Request): boolean {
    const site = headers["sec-fetch-site"];
    if (site !== undefined) return site !== "same-origin" && site !== "none";
    // Without TLS, and from browsers before 2023, there is only the origin. For a page without one it is "null".
    const { origin } = headers;
    return origin !== undefined && ![host, publicHost].includes(origin.replace(/^https?:\/\//, ""));
  }

  return (request) => {
    if (!isOfOtherOrigin(request) || allowedOrigins.includes(request.headers.origin ?? "")) return;
    if (!allowedOrigins.includes("*")) throw new Problem("cross-site-request");
    if (!neededPreflight(request)) {
      throw new Problem("cross-site-request", {
        detail: "If CORS_ORIGINS is *, a page of another origin must send Content-Type: application/json.",
      });
    }
  };
}

/**
 * Whether a browser has sent a preflight before (Fetch, "CORS-safelisted method" and "CORS-safelisted request-header"). With
 * `*`, a preflight for a request with the browser's own credentials fails, so these are the script's own.
 */
const neededPreflight = ({ method, headers }: Request): boolean =>
  method !== "POST" || /^application\/json *(;|$)/i.test(headers["content-type"] ?? "");
