/** The measured programs: how each is started, and which requests it gets. README.md says how they differ. */
import { pathToFileURL } from "node:url";
import { browserCookieName, formToken } from "../src/sessions/browser/cookies.ts";
import { compiled } from "./context.ts";
import { password } from "./database.ts";
import type { HttpRequest } from "./load/protocol.ts";
import { authorizationPath, basic, clientTokenRequest, consentedUsers, form, redemption } from "./oauth.ts";

/** A kind of request that is measured. */
export type Workload =
  | "check"
  | "check-basic"
  | "first-check"
  | "sign-in"
  | "refresh"
  | "registration"
  | "guarded-route"
  | "introspection"
  | "forward-auth"
  | "client-token"
  | "code-flow";

export type Program = {
  name: string;
  script: string;
  settings?: Record<string, string>;
  workloads: Workload[];
  hasDatabase?: true;
  /** Whether its database has the schema, users and sessions of Latchkey before it starts. */
  isLatchkey?: true;
  /** Whether its database has API keys before it starts (apiKeys.ts). */
  needsApiKeys?: true;
  /** Whether it is left out if nginx is not installed. */
  needsNginx?: true;
  /** Whether it is left out if it starts no second process. */
  needsWorkers?: true;
  register?(username: string): HttpRequest;
  signIn?(username: string): HttpRequest;
  /** Takes the credential of a check, a header value, from the response to a sign-in. */
  credential?(body: Record<string, string>, cookies: string[]): string;
  /** A request that only an authenticated client may make. */
  check(credential: string): HttpRequest;
  /** The body of a successful check. Some programs reject a token with 200. */
  expectedBody: RegExp;
  /** The request of a client for its own token. */
  clientToken?: HttpRequest;
  codeFlow?: CodeFlow;
};

/** The sizes of the files behind nginx. */
export const forwardAuthFilesKib = [4, 100];

/** How a user signs in with a browser and how a client gets a code and redeems it. */
export type CodeFlow = {
  /** One user for each browser. */
  usernames: readonly string[];
  /** Of a browser before its user signs in. */
  cookies: Readonly<Record<string, string>>;
  /** Its response sets the cookies of a session. For a GET, it may also be the response at the end of its redirects. */
  signIn(username: string): HttpRequest;
  /** The path of the authorization request. */
  authorize(username: string): string;
  /** The token request of the client, to which the code is appended. */
  redemption: HttpRequest;
};

const json = { "content-type": "application/json" };
const post = (path: string, body: unknown): HttpRequest => ({
  method: "POST",
  path,
  headers: json,
  body: JSON.stringify(body),
});
const get = (path: string, headers: Record<string, string> = {}): HttpRequest => ({ method: "GET", path, headers });
const usersNamed = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

const browserSecret = "b".repeat(43);

const latchkeySignIn = (username: string) => get("/api/token", { authorization: basic(username, password) });

export const latchkey: Program = {
  name: "Latchkey",
  script: "dist/src/main.js",
  settings: {
    SECRET_KEY: "a secret of the benchmark, long enough: 0123456789",
    THROTTLE: "off",
    SHUTDOWN_GRACE_SECONDS: "0",
    TOKEN_TTL_SECONDS: "86400", // longer than a run
  },
  workloads: ["check", "check-basic", "sign-in", "refresh", "registration", "client-token"],
  hasDatabase: true,
  isLatchkey: true,
  register: (username) => post("/api/users", { username, password }),
  signIn: latchkeySignIn,
  credential: ({ token }) => `Bearer ${token}`,
  check: (authorization) => get("/api/resource", { authorization }),
  expectedBody: /Hello/,
  clientToken: clientTokenRequest("/oauth/token"),
  codeFlow: {
    usernames: usersNamed("filled", consentedUsers),
    cookies: { [browserCookieName]: browserSecret },
    signIn: (username) => form("/oauth/sign-in", { token: formToken(browserSecret), username, password }),
    authorize: (username) => authorizationPath("/oauth/authorize", username),
    redemption: redemption("/oauth/token"),
  },
};

const withoutHash = {
  ...latchkey.settings,
  NODE_OPTIONS: `--import ${pathToFileURL(compiled("programs/no-hash"))}`,
};

const introspecting = basic("bench", "bench-secret");

const bare: Program = {
  name: "node:http, pg, jose",
  script: compiled("programs/bare"),
  workloads: ["sign-in", "refresh"],
  hasDatabase: true,
  isLatchkey: true,
  signIn: latchkeySignIn,
  check: () => get("/"),
  expectedBody: /token/,
};

const betterAuth: Program = {
  name: "better-auth",
  script: compiled("programs/better-auth"),
  workloads: ["check", "sign-in", "registration"],
  hasDatabase: true,
  register: (username) =>
    post("/api/auth/sign-up/email", { name: username, email: `${username}@example.com`, password }),
  signIn: (username) => post("/api/auth/sign-in/email", { email: `${username}@example.com`, password }),
  credential: ({ token }) => `Bearer ${token}`,
  check: (authorization) => get("/api/auth/get-session", { authorization }),
  expectedBody: /@example.com/,
};

const fastify: Program = {
  name: "Fastify",
  script: compiled("programs/fastify"),
  workloads: ["guarded-route"],
  signIn: () => get("/token"),
  credential: ({ token }) => `Bearer ${token}`,
  check: (authorization) => get("/v1/things17/4711", { authorization }),
  expectedBody: /Hello/,
};

/** nginx in front of a file: alone, and with forward-auth. */
const nginxWith = (fileKib: number): [alone: Program, guarded: Program] => {
  const settings = { FILE_KIB: String(fileKib) };
  const alone: Program = {
    name: `nginx, ${fileKib} KiB`,
    script: compiled("programs/nginx"),
    settings,
    workloads: ["forward-auth"],
    needsNginx: true,
    check: () => get("/page.json"),
    expectedBody: /Hello/,
  };
  const guarded: Program = {
    ...latchkey,
    ...alone,
    name: `nginx, Latchkey, ${fileKib} KiB`,
    settings: { ...latchkey.settings, ...settings, FORWARD_AUTH: latchkey.script },
    check: (authorization) => get("/page.json", { authorization }),
  };
  return [alone, guarded];
};

export const programs: Program[] = [
  {
    name: "node:http",
    script: compiled("programs/node-http"),
    workloads: ["check"],
    check: () => get("/api/resource"),
    expectedBody: /Hello/,
  },
  {
    name: "Express",
    script: compiled("programs/express"),
    workloads: ["check"],
    check: () => get("/api/resource"),
    expectedBody: /Hello/,
  },
  {
    name: "argon2 alone",
    script: compiled("programs/argon2"),
    workloads: ["sign-in"],
    signIn: latchkeySignIn,
    check: () => get("/"),
    expectedBody: /true/,
  },
  { ...bare, name: "node:http", workloads: ["refresh"], settings: { LEAVE_OUT: "sql, signature" } },
  { ...bare, name: "node:http, pg", workloads: ["refresh"], settings: { LEAVE_OUT: "signature" } },
  bare,
  latchkey,
  { ...latchkey, name: "Latchkey without the hash", settings: withoutHash, workloads: ["sign-in", "code-flow"] },
  {
    ...latchkey,
    name: "Latchkey without the hash, THROTTLE=on",
    settings: { ...withoutHash, THROTTLE: "on", THROTTLE_REGISTRATIONS: "1000000" },
    workloads: ["sign-in"],
  },
  {
    ...latchkey,
    name: "Latchkey, WORKERS=2",
    settings: { ...latchkey.settings, WORKERS: "2" },
    workloads: ["check", "sign-in", "refresh"],
    needsWorkers: true,
  },
  {
    ...latchkey,
    name: "Latchkey, API key",
    workloads: ["check", "first-check"],
    needsApiKeys: true,
    signIn: (username) => ({
      ...post("/api/api-keys", { name: "bench", scopes: [] }),
      headers: { ...json, authorization: basic(username, password) },
    }),
    credential: ({ key }) => `Bearer ${key}`,
  },
  {
    ...latchkey,
    name: "Latchkey, introspection",
    workloads: ["introspection"],
    check: (authorization) =>
      form("/oauth/introspect", { token: authorization.slice("Bearer ".length) }, authorization),
    expectedBody: /"active":true/,
  },
  ...forwardAuthFilesKib.flatMap(nginxWith),
  betterAuth,
  { ...betterAuth, name: "better-auth, argon2", settings: { HASH: "argon2" }, workloads: ["sign-in", "registration"] },
  {
    ...betterAuth,
    name: "better-auth, cookie cache",
    settings: { COOKIE_CACHE: "on" },
    workloads: ["check"],
    credential: (_body, cookies) => cookies.map((cookie) => cookie.split(";")[0]).join("; "),
    check: (cookie) => get("/api/auth/get-session", { cookie }),
  },
  {
    name: "express-jwt, passport-http",
    script: compiled("programs/express-jwt"),
    workloads: ["check", "sign-in", "registration"],
    hasDatabase: true,
    register: (username) => post("/api/users", { username, password }),
    signIn: (username) => get("/api/token", { authorization: basic(username, password) }),
    credential: ({ token }) => `Bearer ${token}`,
    check: (authorization) => get("/api/resource", { authorization }),
    expectedBody: /Hello/,
  },
  fastify,
  { ...fastify, name: "Fastify, contract guard", settings: { GUARD: "on" } },
  {
    name: "oidc-provider, introspection",
    script: compiled("programs/oidc-provider"),
    workloads: ["check", "introspection"],
    signIn: () => form("/token", { grant_type: "client_credentials" }, introspecting),
    credential: ({ access_token }) => access_token ?? "",
    check: (token) => form("/token/introspection", { token }, introspecting),
    expectedBody: /"active":true/,
  },
  {
    name: "oidc-provider",
    script: compiled("programs/oidc-provider"),
    workloads: ["client-token", "code-flow"],
    check: () => get("/"),
    expectedBody: /unused/,
    clientToken: clientTokenRequest("/token"),
    codeFlow: {
      // Its memory has room for 1,000 to 2,000 objects, sessions included.
      usernames: usersNamed("user", 50),
      cookies: {},
      signIn: (username) => get(authorizationPath("/auth", username)),
      authorize: (username) => authorizationPath("/auth", username),
      redemption: redemption("/token"),
    },
  },
];
