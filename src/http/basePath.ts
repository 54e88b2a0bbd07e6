/** The path of `PUBLIC_URL`, below which a proxy offers the service: `/auth` of `https://example.com/auth`. */
import type { RequestHandler } from "express";

/** @returns the path without a slash at its end; empty where there is none */
export const basePath = (publicUrl: string | undefined): string =>
  publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");

/**
 * Serves what comes with the base path as if it came without, so that every link works whether or not a proxy strips it, and
 * without a proxy. Nothing is stripped where paths of the contract begin with the base path themselves.
 * @param paths those of the contract
 */
export function stripBasePath(base: string, paths: readonly string[]): RequestHandler | undefined {
  const isAmbiguous = paths.some((path) => path === base || path.startsWith(`${base}/`));
  if (base === "" || isAmbiguous) return undefined;
  return (request, _response, next) => {
    const { url } = request;
    const following = url.startsWith(base) ? url.charAt(base.length) : undefined;
    if (following === "/") request.url = url.slice(base.length);
    else if (following === "" || following === "?") request.url = `/${url.slice(base.length)}`;
    request.originalUrl = request.url; // which the validator reads
    next();
  };
}
