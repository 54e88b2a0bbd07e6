/** The path of `PUBLIC_URL`, below which a proxy serves the service: `/auth` for `https://example.com/auth`. */
import type { RequestHandler } from "express";

/** @returns the path without a trailing slash; empty without a path */
export const basePath = (publicUrl: string | undefined): string =>
  publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");

/**
 * Strips the base path from requests, so that every link works without a proxy, and whether or not a proxy strips it.
 * @param paths the paths of the contract
 * @returns `undefined` if there is no base path, or if a path of the contract begins with it
 */
export function stripBasePath(base: string, paths: readonly string[]): RequestHandler | undefined {
  const isAmbiguous = paths.some((path) => path === base || path.startsWith(`${base}/`));
  if (base === "" || isAmbiguous) return undefined;
  return (request, _response, next) => {
    const { url } = request;
    const separator = url.startsWith(base) ? url.charAt(base.length) : undefined;
    if (separator === "/") request.url = url.slice(base.length);
    else if (separator === "" || separator === "?") request.url = `/${url.slice(base.length)}`;
    request.originalUrl = request.url; // the validator reads this one
    next();
  };
}
