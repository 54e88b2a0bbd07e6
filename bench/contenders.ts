/** Who is measured: how each is started and asked. What differs between them is said in README.md. */
import { compiled } from "./context.ts";
import { password } from "./database.ts";
import type { HttpRequest } from "./load/load.ts";

/** What is measured; all requests a second. */
export type Work = "check" | "check-basic" | "sign-in" | "refresh" | "registration";

export type Contender = {
  name: string;
  script: string;
  settings?: Record<string, string>;
  works: Work[];
  /** Whether it has a database, and whether that is filled before it starts. */
  keeps?: true;
  isLatchkey?: true;
  /** Whether a second process must have come up, or it does not know of WORKERS. */
  needsWorkers?: true;
  register?(username: string): HttpRequest;
  signIn?(username: string): HttpRequest;
  /** Out of the answer to a sign-in, what a check needs: the value of a header. */
  credential?(body: Record<string, string>, cookies: string[]): string;
  /** Asks for something that only who is signed in may have. */
  check(credential: string): HttpRequest;
  /** What the answer to a check holds where it was good: some say no with a 200. */
  welcome: RegExp;
};

const json = { "content-type": "application/json" };
const post = (path: string, body: unknown): HttpRequest => ({
  method: "POST",
  path,
  headers: json,
  body: JSON.stringify(body),
});
const get = (path: string, headers: Record<string, string> = {}): HttpRequest => ({ method: "GET", path, headers });
export const basic = (username: string, secret: string) =>
  `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;

export const latchkey: Contender = {
  name: "Latchkey",
  script: "dist/src/main.js",
  settings: {
    SECRET_KEY: "a secret of the benchmark, long enough: 0123456789",
    THROTTLE: "off",
    SHUTDOWN_GRACE_SECONDS: "0",
    TOKEN_TTL_SECONDS: "86400", // a run is longer than the usual ten minutes
  },
  works: ["check", "check-basic", "sign-in", "refresh", "registration"],
  keeps: true,
  isLatchkey: true,
  register: (username) => post("/api/users", { username, password }),
  signIn: (username) => get("/api/token", { authorization: basic(username, password) }),
  credential: ({ token }) => `Bearer ${token}`,
  check: (authorization) => get("/api/resource", { authorization }),
  welcome: /Hello/,
};

const betterAuth: Contender = {
  name: "better-auth",
  script: compiled("contenders/better-auth"),
  works: ["check", "sign-in", "registration"],
  keeps: true,
  register: (username) =>
    post("/api/auth/sign-up/email", { name: username, email: `${username}@example.com`, password }),
  signIn: (username) => post("/api/auth/sign-in/email", { email: `${username}@example.com`, password }),
  credential: ({ token }) => `Bearer ${token}`,
  check: (authorization) => get("/api/auth/get-session", { authorization }),
  welcome: /@example.com/,
};

export const contenders: Contender[] = [
  {
    name: "node:http",
    script: compiled("contenders/node-http"),
    works: ["check"],
    check: () => get("/api/resource"),
    welcome: /Hello/,
  },
  {
    name: "Express",
    script: compiled("contenders/express"),
    works: ["check"],
    check: () => get("/api/resource"),
    welcome: /Hello/,
  },
  latchkey,
  {
    ...latchkey,
    name: "Latchkey, WORKERS=2",
    settings: { ...latchkey.settings, WORKERS: "2" },
    works: ["check", "sign-in", "refresh"],
    needsWorkers: true,
  },
  betterAuth,
  { ...betterAuth, name: "better-auth, argon2", settings: { HASH: "argon2" }, works: ["sign-in", "registration"] },
  {
    ...betterAuth,
    name: "better-auth, cookie cache",
    settings: { COOKIE_CACHE: "on" },
    works: ["check"],
    credential: (_body, cookies) => cookies.map((cookie) => cookie.split(";")[0]).join("; "),
    check: (cookie) => get("/api/auth/get-session", { cookie }),
  },
  {
    name: "express-jwt, passport-http",
    script: compiled("contenders/express-jwt"),
    works: ["check", "sign-in", "registration"],
    keeps: true,
    register: (username) => post("/api/users", { username, password }),
    signIn: (username) => get("/api/token", { authorization: basic(username, password) }),
    credential: ({ token }) => `Bearer ${token}`,
    check: (authorization) => get("/api/resource", { authorization }),
    welcome: /Hello/,
  },
  {
    name: "oidc-provider, introspection",
    script: compiled("contenders/oidc-provider"),
    works: ["check"],
    signIn: () => form("/token", { grant_type: "client_credentials" }),
    credential: ({ access_token }) => access_token ?? "",
    check: (token) => form("/token/introspection", { token }),
    welcome: /"active":true/,
  },
];

const form = (path: string, fields: Record<string, string>): HttpRequest => ({
  method: "POST",
  path,
  headers: {
    "content-type": "application/x-www-form-urlencoded",
    authorization: basic("bench", "bench-secret"),
  },
  body: new URLSearchParams(fields).toString(),
});
