/** Starts the service to be fuzzed in this process, with cheaper hashes than any setting allows, and without limits. */
import { Agent } from "node:http";
import { importJWK, type JWTHeaderParameters, SignJWT } from "jose";
import pg from "pg";
import { pino } from "pino";
import { readConfig } from "../src/config/config.ts";
import { openDatabase } from "../src/database/database.ts";
import { startService } from "../src/start.ts";
import { issuerOf } from "../src/tokens/accessTokens.ts";
import { createSeal } from "../src/tokens/sealing.ts";
import { signingKeyStore } from "../src/tokens/store.ts";
import { type Request, sendRequest } from "./http.ts";
import type { Json } from "./json.ts";
import type { ServiceDetails } from "./promises/probe.ts";

export type FuzzedService = { url: string; expiredTokens: string[]; details: ServiceDetails; close(): Promise<void> };

/** The functions that start a service: of this program, or of one with a planted fault. */
export type Program = { readConfig: typeof readConfig; startService: typeof startService };

const secretKey = "for fuzzing only, not a secret: 0123456789";
const details = { sessionsPerUser: 20, refreshGraceSeconds: 1 };
/** Calls the operations that need rights. The fuzzer never changes or deletes this user. */
export const administrator: [username: string, password: string] = ["fuzz-administrator", "Otters § glow at midnight"];
const settings = {
  PORT: "0",
  THROTTLE: "off",
  SECRET_KEY: secretKey,
  SESSIONS_PER_USER: String(details.sessionsPerUser),
  REFRESH_GRACE_SECONDS: String(details.refreshGraceSeconds),
  CLIENT_REGISTRATION: "on",
  PAGES_REGISTRATION: "on",
};

/**
 * @param databaseUrl a database that nothing else uses
 * @param others further settings
 */
export async function startFuzzedService(
  databaseUrl: string,
  others: Record<string, string> = {},
  program: Program = { readConfig, startService },
): Promise<FuzzedService> {
  const config = program.readConfig({ ...settings, DATABASE_URL: databaseUrl, ...others });
  const cheap = { ...config, argon2MemoryKib: 64, argon2Passes: 1 };
  const service = await start(program, cheap);
  const sign = await signer(databaseUrl);
  await createAdministrator(service.url, databaseUrl);
  // The fuzzer cannot wait until a token has expired, so it signs one that has.
  const now = Math.floor(Date.now() / 1000);
  const issuer = issuerOf(config);
  const claims = { iss: issuer, aud: issuer, username: "past", epoch: 0 };
  const ids = { sub: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b", jti: "7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e" };
  const expired = await sign({ typ: "at+jwt" }, { ...claims, ...ids, iat: now - 3_600, exp: now - 3_000 });
  // One instance has either its own pages or that of a team.
  const pageOfTeam = "https://team.example/authorize";
  let another: ReturnType<typeof startService> | undefined;
  const beginAuthorization = async (query: string): Promise<string | undefined> => {
    another ??= start(program, { ...cheap, authorizationPageUrl: pageOfTeam });
    const { headers } = await fetch(`${(await another).url}/oauth/authorize?${query}`, { redirect: "manual" });
    return new URL(headers.get("location") ?? pageOfTeam).searchParams.get("authorization_id") ?? undefined;
  };
  return {
    url: service.url,
    expiredTokens: [expired],
    details: { ...details, sign, administrator, beginAuthorization, issuer },
    async close() {
      await (await another)?.close();
      await service.close();
    },
  };
}

const maxStarts = 5;

/** Starts a service, at most five times: on a busy machine, connecting to Postgres can take longer than a start waits for it. */
async function start(
  program: Program,
  config: Parameters<typeof startService>[0],
): Promise<Awaited<ReturnType<typeof startService>>> {
  for (let starts = 1; ; starts += 1) {
    try {
      return await program.startService(config, pino({ level: "silent" }));
    } catch (error) {
      // Not `instanceof`: a program with a planted fault has classes of its own.
      const isUnavailable = error instanceof Error && Reflect.get(error, "slug") === "database-unavailable";
      if (!isUnavailable || starts === maxStarts) throw error;
    }
  }
}

/** Registers the administrator, unless an earlier service on this database did. */
async function createAdministrator(url: string, databaseUrl: string): Promise<void> {
  const [username, password] = administrator;
  const request: Request = {
    method: "POST",
    target: "/api/users",
    headers: [["Content-Type", "application/json"]],
    body: Buffer.from(JSON.stringify({ username, password })),
  };
  const agent = new Agent();
  const { status, text } = await sendRequest(new URL(url), agent, request);
  agent.destroy();
  if (![201, 409].includes(status)) throw new Error(`The administrator was not registered: ${status} ${text}`);
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client
    .query(
      `INSERT INTO user_roles (user_id, role) SELECT id, 'administrator' FROM users WHERE username = $1
       ON CONFLICT DO NOTHING`,
      [username],
    )
    .finally(() => client.end());
}

/** Returns a function that signs tokens with the service's own key. */
async function signer(databaseUrl: string): Promise<(header: Json, claims: Json) => Promise<string>> {
  const database = openDatabase(databaseUrl, 1);
  try {
    const stored = (await signingKeyStore(database).findAll()).at(-1);
    if (!stored) throw new Error("The service has no signing key.");
    const { privateJwk } = await createSeal([secretKey]).open(stored.kid, stored.privateJwe);
    const key = await importJWK(privateJwk, stored.algorithm);
    return (header, claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: stored.algorithm, kid: stored.kid, ...header } as JWTHeaderParameters)
        .sign(key);
  } finally {
    await database.close();
  }
}
