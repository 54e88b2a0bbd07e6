/** What is measured: turns a contender and a kind of work into load. */
import { request } from "undici";
import { basic, type Contender, type Work } from "./contenders.ts";
import { password } from "./database.ts";
import type { HttpRequest, Job } from "./load/load.ts";

/** How many connections ask at once. Passwords take long whoever asks. */
const connections: Record<Work, number> = { check: 16, "check-basic": 16, "sign-in": 8, refresh: 16, registration: 8 };

export const connectionsOf = (work: Work): number => connections[work];

/** How each work is called where people read it. */
export const titles: Record<Work, string> = {
  check: "Check of a token",
  "check-basic": "Check of a token as Basic username",
  "sign-in": "Sign-in: password to token",
  refresh: "Refresh",
  registration: "Registration",
};

/** Registers users, so that they can sign in. */
export async function register(contender: Contender, url: string, names: string[]): Promise<void> {
  if (!contender.register) return;
  for (const name of names) await send(url, contender.register(name));
}

/**
 * Gets all that the load needs to begin with: tokens, sessions.
 * @param names of users who are registered
 * @param sessions how many of them are begun for refreshes
 */
export async function prepare(
  contender: Contender,
  url: string,
  work: Work,
  names: string[],
  sessions: number,
): Promise<Job> {
  return { url, connections: connections[work], ...(await load()) };

  async function load(): Promise<Pick<Job, "requests" | "refreshTokens">> {
    switch (work) {
      case "check":
        return { requests: await welcomed((await credentials()).map(contender.check)) };
      case "check-basic": {
        const tokens = (await credentials()).map((bearer) => bearer.slice("Bearer ".length));
        return { requests: await welcomed(tokens.map((token) => contender.check(basic(token, "unused")))) };
      }
      case "sign-in":
        return { requests: names.flatMap((name) => contender.signIn?.(name) ?? []) };
      case "registration":
        return { requests: [contender.register?.("bench{n}") ?? []].flat() };
      case "refresh": {
        const authorizations = Array.from({ length: sessions }, (_, n) =>
          basic(names[n % names.length] ?? "", password),
        );
        const answers = await fewAtATime(authorizations, (authorization) =>
          send(url, { method: "POST", path: "/api/sessions", headers: { authorization } }),
        );
        return { refreshTokens: answers.map(({ body }) => body["refresh_token"] ?? "") };
      }
    }
  }

  /** A check that says no may be much faster. */
  async function welcomed(requests: HttpRequest[]): Promise<HttpRequest[]> {
    for (const { body } of await fewAtATime(requests, (one) => send(url, one))) {
      const text = JSON.stringify(body);
      if (!contender.welcome.test(text)) throw new Error(`${contender.name} lets nobody in: ${text}`);
    }
    return requests;
  }

  /** Each client has a token of its own. A ceiling asks for none. */
  async function credentials(): Promise<string[]> {
    const { signIn, credential } = contender;
    if (!signIn || !credential) return [""];
    const answers = await fewAtATime(names, (name) => send(url, signIn(name)));
    return answers.map(({ body, cookies }) => credential(body, cookies));
  }
}

type Answer = { body: Record<string, string>; cookies: string[] };

/** @throws where the answer is not a success, so that no failure is measured */
async function send(url: string, { method, path, headers, body }: HttpRequest): Promise<Answer> {
  // Not fetch: better-auth takes its headers for a browser's, and asks of which page.
  const answer = await request(url + path, {
    method,
    ...(headers && { headers }),
    ...(body && { body }),
    headersTimeout: 10_000,
    bodyTimeout: 10_000,
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${method} ${url}${path}: ${answer.statusCode} ${text}`);
  return { body: JSON.parse(text), cookies: [answer.headers["set-cookie"] ?? []].flat() };
}

async function fewAtATime<T, R>(items: T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let n = 0; n < items.length; n += 4) results.push(...(await Promise.all(items.slice(n, n + 4).map(act))));
  return results;
}
