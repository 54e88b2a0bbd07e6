/**
 * The cookies of the pages. The prefix `__Host-` makes browsers accept them only over HTTPS, from this host and for all its paths, so
 * that another host of the domain cannot set them. Chromium and Firefox also accept them at `http://127.0.0.1` and `http://localhost`.
 */
import { createHash, randomBytes } from "node:crypto";
import { invalidRequest } from "../../problems/problems.ts";

/** Of the session of a browser. */
export const sessionCookieName = "__Host-latchkey";
/** Binds what a browser does before its user has signed in: authorization requests and forms belong to one browser. */
export const browserCookieName = "__Host-latchkey-browser";

/** The cookies of a request, as the contract declares them. */
export type PageCookies = { [sessionCookieName]?: string; [browserCookieName]?: string } | undefined;

const attributes = "Path=/; Secure; HttpOnly; SameSite=Lax";

/** Longer than an authorization request is valid. Each request begins it anew. */
const browserCookieSeconds = 3_600;

/** A `Set-Cookie` that the browser keeps until it is closed. */
export const sessionCookie = (value: string): string => `${sessionCookieName}=${value}; ${attributes}`;

/** A `Set-Cookie` that deletes the cookie. */
export const endedSessionCookie = `${sessionCookieName}=; Max-Age=0; ${attributes}`;

export const browserCookie = (value: string): string =>
  `${browserCookieName}=${value}; Max-Age=${browserCookieSeconds}; ${attributes}`;

/** A browser keeps its value, so that requests in several tabs do not disturb each other. */
export const browserSecret = (cookies: PageCookies): string =>
  cookies?.[browserCookieName] ?? randomBytes(32).toString("base64url");

/** The token of a form. Only the page that this browser has got contains it. */
export const formToken = (browserSecret: string): string =>
  createHash("sha256").update(`latchkey form ${browserSecret}`).digest("base64url");

/** @throws {Problem} `invalid-request` if this browser has not got the form */
export function requireToken(token: string | undefined, cookies: PageCookies): void {
  const secret = cookies?.[browserCookieName];
  if (secret === undefined || token !== formToken(secret)) {
    throw invalidRequest({ parameter: "token", detail: "is not that of a form which this browser has got" });
  }
}
