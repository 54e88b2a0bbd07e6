/** Who is measured, and which requests are the same work for each. What differs is said where each is set up. */
import { join } from "node:path";
import type { Chain, Request } from "./load.ts";
import { refreshConnections } from "./pgbench.ts";
import { type Server, startServer } from "./processes.ts";

/** What is measured: each for those who can do it. */
export type Work = "bearer" | "token as username" | "sign-in" | "refresh" | "registration";
export type Load = (Request | Chain) & { connections: number };

export type Contender = {
  name: string;
  isLatchkey?: boolean;
  start(node: string, databaseUrl: string): Promise<Server>;
  /** Registers, signs in, and says what to send. */
  loads(url: string): Promise<Partial<Record<string, Load>>>;
};

const username = "miguel";
const password = "correct horse battery";
/** For requests that keep one process busy, and for those that wait for a hash. */
const [many, some] = [32, 8];

const basic = (name: string, secret: string) => `Basic ${Buffer.from(`${name}:${secret}`).toString("base64")}`;
const json = { "Content-Type": "application/json" };
const script = (name: string) => join(import.meta.dirname, "contenders", `${name}.js`);

/** The program as it is shipped, at its own settings but for the limits on guessing; its log goes nowhere. */
export const startLatchkey = (node: string, databaseUrl: string, workers = "1"): Promise<Server> =>
  startServer(
    [node, "dist/src/main.js"],
    {
      DATABASE_URL: databaseUrl,
      SECRET_KEY: "a secret for the benchmark alone: 0123456789",
      THROTTLE: "off",
      SHUTDOWN_GRACE_SECONDS: "0",
      ...(workers !== "1" && { WORKERS: workers }),
    },
    "/readyz",
  );

async function latchkeyLoads(url: string): Promise<Partial<Record<Work, Load>>> {
  await post(`${url}/api/users`, { username, password });
  const authorization = basic(username, password);
  const answer = await fetch(`${url}/api/token`, { headers: { authorization } });
  const { token } = (await answer.json()) as { token: string };
  return {
    bearer: { path: "/api/resource", headers: { Authorization: `Bearer ${token}` }, connections: many },
    "token as username": {
      path: "/api/resource",
      headers: { Authorization: basic(token, "unused") },
      connections: many,
    },
    "sign-in": { path: "/api/token", headers: { Authorization: authorization }, connections: some },
    refresh: { chain: "refresh", path: "/api/token", authorization, connections: refreshConnections },
    registration: {
      chain: "register",
      path: "/api/users",
      body: JSON.stringify({ username: "NEW", password }),
      connections: some,
    },
  };
}

const plain = (name: string): Contender => ({
  name,
  start: (node) => startServer([node, script(name)], {}, "/api/resource"),
  loads: () => Promise.resolve({ bearer: { path: "/api/resource", connections: many } }),
});

export const contenders: Contender[] = [
  plain("http"),
  plain("express"),
  { name: "latchkey", isLatchkey: true, start: startLatchkey, loads: latchkeyLoads },
  {
    name: "better-auth",
    start: (node, databaseUrl) =>
      startServer([node, script("better-auth")], { DATABASE_URL: databaseUrl }, "/api/auth/ok"),
    async loads(url) {
      const user = { email: `${username}@example.com`, password };
      const answer = await post(`${url}/api/auth/sign-up/email`, { ...user, name: username });
      const bearer = answer.headers.get("set-auth-token");
      const headers = { ...json, Origin: url };
      return {
        bearer: { path: "/api/resource", headers: { Authorization: `Bearer ${bearer}` }, connections: many },
        "sign-in": {
          path: "/api/auth/sign-in/email",
          method: "POST",
          headers,
          body: JSON.stringify(user),
          connections: some,
        },
        registration: {
          chain: "register",
          path: "/api/auth/sign-up/email",
          headers,
          body: JSON.stringify({ name: "NEW", email: "NEW@example.com", password }),
          connections: some,
        },
      };
    },
  },
  {
    name: "express-jwt",
    start: (node, databaseUrl) =>
      startServer([node, script("express-jwt")], { DATABASE_URL: databaseUrl }, "/api/resource"),
    async loads(url) {
      await post(`${url}/api/users`, { username, password });
      const authorization = basic(username, password);
      const answer = await fetch(`${url}/api/token`, { headers: { authorization } });
      const { token } = (await answer.json()) as { token: string };
      return {
        bearer: { path: "/api/resource", headers: { Authorization: `Bearer ${token}` }, connections: many },
        "sign-in": { path: "/api/token", headers: { Authorization: authorization }, connections: some },
        registration: {
          chain: "register",
          path: "/api/users",
          body: JSON.stringify({ username: "NEW", password }),
          connections: some,
        },
      };
    },
  },
  {
    name: "oidc-provider",
    start: (node) => startServer([node, script("oidc-provider")], {}, "/.well-known/openid-configuration"),
    async loads(url) {
      const headers = {
        Authorization: basic("bench", encodeURIComponent("a secret for the benchmark alone")),
        "Content-Type": "application/x-www-form-urlencoded",
      };
      const answer = await fetch(`${url}/token`, { method: "POST", headers, body: "grant_type=client_credentials" });
      const { access_token } = (await answer.json()) as { access_token: string };
      return {
        bearer: {
          path: "/token/introspection",
          method: "POST",
          headers,
          body: `token=${access_token}`,
          connections: many,
        },
      };
    },
  },
];

async function post(url: string, body: unknown): Promise<Response> {
  // better-auth takes no request that does not say where it is from.
  const headers = { ...json, Origin: new URL(url).origin };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer;
}
