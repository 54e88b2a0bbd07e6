/** Cross-origin requests of scripts in a browser (`CORS_ORIGINS`; Fetch, "CORS protocol"). */
import cors from "cors";
import type { RequestHandler } from "express";

/** Response headers that a script of another origin may read. */
const exposedHeaders = [
  "Allow",
  "Location",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "WWW-Authenticate",
  "X-Request-Id",
];

/** Seconds for which a browser may cache a preflight. */
const maxAge = 600;

/** @param origins the allowed origins. `*` allows any */
export const allowOrigins = (origins: string[]): RequestHandler =>
  cors({ origin: origins.includes("*") ? "*" : origins, exposedHeaders, maxAge });
