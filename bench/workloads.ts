/** Prepares the load for a program and a workload. */
import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import type { Bench } from "./context.ts";
import { password } from "./database.ts";
import type { HttpRequest, LoadSpec } from "./load/protocol.ts";
import { basic } from "./oauth.ts";
import type { CodeFlow, Program, Workload } from "./programs.ts";

/** The number of connections. */
const connections: Record<Workload, number> = {
  check: 16,
  "check-basic": 16,
  "first-check": 16,
  "sign-in": 8,
  refresh: 16,
  registration: 8,
  "guarded-route": 16,
  introspection: 16,
  "forward-auth": 16,
  "client-token": 16,
  "code-flow": 16,
};

export const connectionsOf = (workload: Workload): number => connections[workload];

/** The titles of workloads in the output. */
export const titles: Record<Workload, string> = {
  check: "Check of a token",
  "check-basic": "Check of a token as Basic username",
  "first-check": "First check of an API key",
  "sign-in": "Sign-in: password to token",
  refresh: "Refresh",
  registration: "Registration",
  "guarded-route": "Route of a service with 200 operations",
  introspection: "Introspection of a token",
  "forward-auth": "File behind nginx",
  "client-token": "Token of a client: client_credentials",
  "code-flow": "Authorization code flow: authorize, code, tokens",
};

/** Registers users, so that they can sign in. */
export async function register(program: Program, url: string, names: string[]): Promise<void> {
  if (!program.register) return;
  for (const name of names) await send(url, program.register(name));
}

/**
 * Signs in, and creates the sessions that a load needs.
 * @param names registered users
 * @param counts the numbers of sessions for refreshes, and of API keys in the database
 */
export async function prepare(
  program: Program,
  url: string,
  workload: Workload,
  names: string[],
  { sessions, apiKeys }: Pick<Bench, "sessions" | "apiKeys">,
): Promise<LoadSpec> {
  return { url, connections: connections[workload], ...(await load()) };

  async function load(): Promise<Omit<LoadSpec, "url" | "connections">> {
    switch (workload) {
      case "check":
      case "guarded-route":
      case "introspection":
      case "forward-auth":
        return { requests: await accepted((await credentials()).map(program.check)) };
      case "check-basic": {
        const tokens = (await credentials()).map((bearer) => bearer.slice("Bearer ".length));
        return { requests: await accepted(tokens.map((token) => program.check(basic(token, "unused")))) };
      }
      case "first-check":
        return { apiKeys };
      case "sign-in":
        return { requests: names.flatMap((name) => program.signIn?.(name) ?? []) };
      case "registration":
        return { requests: [program.register?.("bench{n}") ?? []].flat() };
      case "client-token": {
        const requests = [program.clientToken ?? []].flat();
        for (const { body } of await inBatches(requests, (one) => send(url, one))) requireEs256(body["access_token"]);
        return { requests };
      }
      case "code-flow":
        return program.codeFlow ? { codeFlows: await signedInBrowsers(url, program.codeFlow) } : {};
      case "refresh": {
        const authorizations = Array.from({ length: sessions }, (_, n) =>
          basic(names[n % names.length] ?? "", password),
        );
        const answers = await inBatches(authorizations, (authorization) =>
          send(url, { method: "POST", path: "/api/sessions", headers: { authorization } }),
        );
        return { refreshTokens: answers.map(({ body }) => body["refresh_token"] ?? "") };
      }
    }
  }

  /** Verifies that the checks succeed: a rejection may be much faster. */
  async function accepted(requests: HttpRequest[]): Promise<HttpRequest[]> {
    for (const { body } of await inBatches(requests, (one) => send(url, one))) {
      const text = JSON.stringify(body);
      if (!program.expectedBody.test(text)) throw new Error(`${program.name} rejected a check: ${text}`);
    }
    return requests;
  }

  /** One credential per user. Programs without authentication need none. */
  async function credentials(): Promise<string[]> {
    const { signIn, credential } = program;
    if (!signIn || !credential) return [""];
    const answers = await inBatches(names, (name) => send(url, signIn(name)));
    return answers.map(({ body, cookies }) => credential(body, cookies));
  }
}

/** All programs sign with the same algorithm. @throws {Error} for another token, such as an opaque one */
function requireEs256(token = ""): void {
  const header = Buffer.from(token.split(".")[0] ?? "", "base64url").toString();
  if (!header.includes('"alg":"ES256"')) throw new Error(`not a JWT that is signed with ES256: ${token}`);
}

/** The authorization requests of browsers whose users are signed in and have allowed the client what it asks for. */
async function signedInBrowsers(url: string, { usernames, cookies, signIn, authorize, redemption }: CodeFlow) {
  const browsers = await inBatches([...usernames], async (username) => ({
    path: authorize(username),
    cookie: asHeader(await browse(url, signIn(username), new Map(Object.entries(cookies)))),
  }));
  return { browsers, redemption };
}

/**
 * Sends a request as a browser does, and follows the redirects of a GET within the service.
 * @param cookies of the browser
 * @returns its cookies afterwards
 */
async function browse(url: string, { path, ...sent }: HttpRequest, cookies: Map<string, string>) {
  const headers = { ...sent.headers, cookie: asHeader(cookies) };
  const response = await request(url + path, { ...sent, headers });
  const text = await response.body.text();
  if (response.statusCode >= 400) throw new Error(`${sent.method} ${path}: ${response.statusCode} ${text}`);
  for (const set of [response.headers["set-cookie"] ?? []].flat()) {
    const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
    cookies.set(name, value);
  }
  const next = new URL(String(response.headers.location ?? "about:blank"), url);
  if (sent.method !== "GET" || next.origin !== url) return cookies;
  return browse(url, { method: "GET", path: next.pathname + next.search }, cookies);
}

const asHeader = (cookies: ReadonlyMap<string, string>) =>
  [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");

type Answer = { body: Record<string, string>; cookies: string[] };

/** Sends a request of the preparation. @throws {Error} if the response is not 2xx: failures must not be measured */
async function send(url: string, request: HttpRequest, tries = 10): Promise<Answer> {
  const { status, answer, text } = await sendOnce(url, request);
  // On a busy machine, a password may wait for too long.
  if (status === 503 && tries > 1) {
    await sleep(1_000);
    return send(url, request, tries - 1);
  }
  if (status >= 300) throw new Error(`${request.method} ${url}${request.path}: ${status} ${text}`);
  return answer();
}

async function sendOnce(url: string, { method, path, headers, body }: HttpRequest) {
  // Not fetch: better-auth takes it for a browser because of its headers, and requires an Origin.
  const answer = await request(url + path, {
    method,
    ...(headers && { headers }),
    ...(body && { body }),
    headersTimeout: 10_000,
    bodyTimeout: 10_000,
  });
  const text = await answer.body.text();
  return {
    status: answer.statusCode,
    text,
    answer: (): Answer => ({ body: JSON.parse(text), cookies: [answer.headers["set-cookie"] ?? []].flat() }),
  };
}

async function inBatches<T, R>(items: T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let n = 0; n < items.length; n += 4) results.push(...(await Promise.all(items.slice(n, n + 4).map(act))));
  return results;
}
