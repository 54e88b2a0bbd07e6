/** The path of `PUBLIC_URL`, below which a proxy serves the service: `/auth` for `https://example.com/auth`. */
import type { RequestHandler } from "express";

/** @returns the path without a trailing slash; empty without a path */
export const basePath = (publicUrl: string | undefined): string =>
  publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");

/** The server metadata. If the issuer has a path, it follows this one (RFC 8414, section 3). */
const metadataPath = "/.well-known/oauth-authorization-server";

/**
 * Strips the base path from requests, so that every link works without a proxy, and whether or not a proxy strips it.
 * @param paths the paths of the contract. If one of them begins with the base path, only that of the server metadata is stripped
 * @returns `undefined` if there is no base path
 */
export function stripBasePath(base: string, paths: readonly string[]): RequestHandler | undefined {
  if (base === "") return undefined;
  const isAmbiguous = paths.some((path) => isBelow(base, path));
  return (request, _response, next) => {
    const [path = ""] = request.url.split("?", 1);
    const query = request.url.slice(path.length);
    if (path === metadataPath + base) request.url = metadataPath + query;
    else if (!isAmbiguous && isBelow(base, path)) request.url = (path.slice(base.length) || "/") + query;
    request.originalUrl = request.url; // the validator reads this one
    next();
  };
}

const isBelow = (base: string, path: string): boolean => path === base || path.startsWith(`${base}/`);
