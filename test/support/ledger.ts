/** Writes through the service and records what was acknowledged, which must survive every fault. */

import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { expect, vi } from "vitest";
import { type Client, untilNotOverloaded } from "./client.ts";
import { password, query } from "./service.ts";
import type { TestVerifier } from "./verifiers.ts";

type Account = {
  username: string;
  /** One of these is valid. There are two if the response to a change was lost. */
  passwords: string[];
  acknowledged: boolean;
};

export type Ledger = {
  /** Each sends one or two requests, or none if there is no idle account. */
  register(): Promise<void>;
  changePassword(): Promise<void>;
  revoke(): Promise<void>;
  refresh(): Promise<void>;
  beginSession(): Promise<void>;
  /** Begins and ends a session, whose tokens must not work again. */
  endSession(): Promise<void>;
  /** Sends an access token that was revoked earlier. An acceptance fails `expectKept`. */
  checkRevoked(): Promise<void>;
  /** Sends a valid token. */
  check(): Promise<void>;
  /** Sends a valid password. */
  signIn(): Promise<void>;
  /**
   * Expects that every acknowledged change holds, and that each stored user can sign in, also one whose registration was
   * not acknowledged.
   */
  expectKept(client: Client, database: string | pg.ClientConfig, others?: OtherServices): Promise<void>;
};

/** Instances of the service, and verifiers in other services, that must reject the same tokens. */
type OtherServices = { instances?: Client[]; verifiers?: TestVerifier[] };

/** Every instance rejects what was revoked within this time. */
const everywhereMs = 1_000;
/** While the database is away, an instance may accept a revoked token for 5 s; otherwise for a second. */
const revokedEverywhereMs = 6_500;

/**
 * @param sessions the number of sessions that are refreshed in turn
 * @param prefix the beginning of the usernames, for ledgers that share a database
 */
export async function createLedger(send: Client, sessions = 8, prefix = ""): Promise<Ledger> {
  const accounts: Account[] = [];
  // An account that is being changed is not in the queue, so that changes have an order. It does not return if the response
  // was lost.
  const idle: Account[] = [];
  const refreshTokens: string[] = [];
  const unusedRefreshTokens: string[] = [];
  const endedRefreshTokens: string[] = [];
  const revoked: { bearer: string; atMs: number }[] = [];
  const noteRevoked = (bearer: string) => void revoked.push({ bearer, atMs: performance.now() });
  const accepted: string[] = [];
  let changes = 0;

  const takeToken = async ({ username, passwords: [current = ""] }: Account): Promise<string | undefined> =>
    (await send("GET", "/api/token", { basic: [username, current] })).json?.token;

  const register = async (username: string): Promise<Account | undefined> => {
    const account = { username, passwords: [password], acknowledged: false };
    accounts.push(account);
    account.acknowledged = (await send("POST", "/api/users", { json: { username, password } })).status === 201;
    return account.acknowledged ? account : undefined;
  };

  const beginSession = async ({ username }: Account, tokens: string[]): Promise<void> => {
    const { status, json } = await send("POST", "/api/sessions", { basic: [username, password] });
    if (status === 201) tokens.push(json.refresh_token);
  };

  /** The first registration may be a 503: the dictionaries of passwords are being loaded. */
  const registerReader = async (): Promise<Account | undefined> => {
    for (let tries = 0; tries < 20; tries += 1) {
      const account = await register(`${prefix}reader`);
      if (account) return account;
      accounts.pop();
      await sleep(250);
    }
    return undefined;
  };
  const reader = await registerReader();
  const readersToken = reader && (await takeToken(reader));
  if (!readersToken) throw new Error("The service did not serve to begin with.");
  for (let begun = 0; begun < sessions; begun += 1) await beginSession(reader, refreshTokens);

  return {
    async register() {
      const account = await register(`${prefix}user${accounts.length}`);
      if (account) idle.push(account);
    },

    async changePassword() {
      const account = idle.shift();
      const bearer = account && (await takeToken(account));
      if (!bearer) return;
      const [current = ""] = account.passwords;
      const next = `${password} ${++changes}`;
      account.passwords = [current, next];
      const json = { current_password: current, new_password: next };
      if ((await send("PUT", "/api/users/me/password", { bearer, json })).status !== 204) return;
      account.passwords = [next];
      noteRevoked(bearer);
      idle.push(account);
    },

    async revoke() {
      const account = idle.shift();
      const bearer = account && (await takeToken(account));
      if (!bearer) return;
      if ((await send("DELETE", "/api/token", { bearer })).status !== 204) return;
      noteRevoked(bearer);
      idle.push(account);
    },

    async refresh() {
      const used = refreshTokens.shift();
      if (used === undefined) return;
      let next: string | undefined;
      try {
        const { status, json } = await send("POST", "/api/token", { json: { refresh_token: used } });
        if (status === 200) next = json.refresh_token;
      } finally {
        // Retried first if the response was lost, within the grace period.
        if (next === undefined) refreshTokens.unshift(used);
        else refreshTokens.push(next);
      }
    },

    beginSession: () => beginSession(reader, unusedRefreshTokens),

    async endSession() {
      const { status, json } = await send("POST", "/api/sessions", { basic: [reader.username, password] });
      if (status !== 201) return;
      const { id, access_token: bearer, refresh_token: refreshToken } = json;
      if ((await send("DELETE", `/api/sessions/${id}`, { bearer })).status !== 204) return;
      noteRevoked(bearer);
      endedRefreshTokens.push(refreshToken);
    },

    async checkRevoked() {
      const known = revoked.filter(({ atMs }) => performance.now() - atMs > revokedEverywhereMs);
      const one = known[Math.floor(Math.random() * known.length)];
      if (!one) return;
      const answer = await send("GET", "/api/resource", { bearer: one.bearer });
      if (answer.status === 200) accepted.push(`revoked ${Math.round(performance.now() - one.atMs)} ms before`);
    },

    check: async () => void (await send("GET", "/api/resource", { bearer: readersToken })),
    signIn: async () => void (await takeToken(reader)),

    async expectKept(client, database, { instances = [], verifiers = [] } = {}) {
      expect(accepted, "revoked tokens that were accepted").toEqual([]);
      const tokens = { "refreshed before": refreshTokens, "not used before": unusedRefreshTokens };
      for (const [kind, presented] of Object.entries(tokens)) {
        for (const [index, refresh_token] of presented.entries()) {
          const { status, text } = await client("POST", "/api/token", { json: { refresh_token } });
          expect(status, `token ${index} of ${presented.length}, ${kind}: ${text}`).toBe(200);
        }
      }
      for (const verifier of verifiers) {
        // The last revocations may still be on the way. One that is lost does not arrive later.
        await vi.waitFor(
          async () => {
            expect(await verifier.ask(readersToken), "a valid token").toBeTypeOf("object");
            const outcomes = await Promise.all(revoked.map(({ bearer }) => verifier.ask(bearer)));
            expect(outcomes.filter((outcome) => outcome !== "token-revoked")).toEqual([]);
          },
          { timeout: 10_000 },
        );
      }
      await sleep(Math.max(0, everywhereMs - (performance.now() - Math.max(...revoked.map(({ atMs }) => atMs)))));
      for (const each of [client, ...instances]) {
        for (const { bearer } of revoked) {
          const answer = await each("GET", "/api/resource", { bearer });
          expect(answer).toMatchObject({ status: 401, problem: "token-revoked" });
        }
        for (const refresh_token of endedRefreshTokens) {
          const answer = await each("POST", "/api/token", { json: { refresh_token } });
          expect(answer).toMatchObject({ status: 401, problem: "token-revoked" });
        }
      }
      const rows = await query(database, "SELECT username FROM users WHERE starts_with(username, $1)", [prefix]);
      const kept = new Set(rows.map(({ username }) => username));
      let unacknowledged = 0;
      for (const { username, passwords, acknowledged } of accounts) {
        if (!acknowledged && !kept.has(username)) continue;
        if (!acknowledged) unacknowledged += 1;
        const basics = passwords.map((password): [string, string] => [username, password]);
        const answers = await Promise.all(
          basics.map((basic) => untilNotOverloaded(() => client("GET", "/api/resource", { basic }))),
        );
        const statuses = answers.map(({ status }) => status).sort();
        expect(statuses, username).toEqual([200, 401].slice(0, passwords.length));
      }
      expect(kept.size).toBe(accounts.filter(({ username }) => kept.has(username)).length);
      console.info(
        `kept: ${accounts.filter(({ acknowledged }) => acknowledged).length} users and ${unacknowledged} more whose ` +
          `answer was lost, ${changes} changes of password, ${revoked.length} revoked tokens, ${endedRefreshTokens.length} ended sessions, ${sessions + unusedRefreshTokens.length} sessions`,
      );
    },
  };
}
