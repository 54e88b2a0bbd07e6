/** A service to be fuzzed: in this process, with hashes so cheap that no setting allows them, and without throttling. */
import { pino } from "pino";
import { readConfig } from "../../src/config.ts";
import { startService } from "../../src/service.ts";

export type FuzzedService = { url: string; expiredTokens: string[]; close(): Promise<void> };

/** @param databaseUrl a Postgres of its own */
export async function startFuzzedService(databaseUrl: string): Promise<FuzzedService> {
  const secretKey = "for fuzzing only, not a secret: 0123456789";
  const settings = readConfig({ PORT: "0", THROTTLE: "off", DATABASE_URL: databaseUrl, SECRET_KEY: secretKey });
  const config = { ...settings, argon2MemoryKib: 64, argon2Passes: 1 };
  const silent = pino({ level: "silent" });
  // Time cannot be sent, so a token whose time is over comes from an instance that lives an hour ago.
  const past = await startService(config, silent, { clockOffsetMs: () => -3_600_000 });
  const token = await takeToken(past.url).finally(() => past.close());
  const service = await startService(config, silent);
  return { url: service.url, expiredTokens: [token], close: service.close };
}

/** Of a user who is gone right after. */
async function takeToken(url: string): Promise<string> {
  const body = JSON.stringify({ username: "past", password: "an hour ago or so" });
  const authorization = `Basic ${Buffer.from("past:an hour ago or so").toString("base64")}`;
  await fetch(`${url}/api/users`, { method: "POST", body, headers: { "content-type": "application/json" } });
  const answer = await fetch(`${url}/api/token`, { headers: { authorization } });
  await fetch(`${url}/api/users/me`, { method: "DELETE", headers: { authorization } });
  const { token } = (await answer.json()) as { token: string };
  return token;
}
