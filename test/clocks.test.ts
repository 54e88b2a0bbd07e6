/** A clock that is wrong, or is set, brings no token back to life. */
import { afterEach, expect, test, vi } from "vitest";
import { password, startTestService } from "./support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const statusOf = async (bearer: string) => (await service.send("GET", "/api/resource", { bearer })).status;
const revoked = async () => {
  const bearer = await service.token(username);
  expect((await service.send("DELETE", "/api/token", { bearer })).status).toBe(204);
  return bearer;
};
const minutes = 60;
const day = 86_400;

// In this database `now()` and `clock_timestamp()` are ours before they are Postgres' own.
await service.sql(`
  CREATE TABLE clock_offset (seconds integer);
  INSERT INTO clock_offset VALUES (0);
  CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM clock_offset))';
  CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT pg_catalog.now() + make_interval(secs => (SELECT seconds FROM clock_offset))';`);
const name = new URL(service.databaseUrl).pathname.slice(1);
await service.sql(`ALTER DATABASE ${name} SET search_path = public, pg_catalog`);
await service.sql(
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
  [name],
);

/** Sets the database's clock, and waits until the service has learned it. */
async function setDatabaseClock(seconds: number): Promise<void> {
  await service.sql("UPDATE clock_offset SET seconds = $1", [seconds]);
  await vi.waitUntil(
    async () => {
      const { json } = await service.send("GET", "/api/token", { basic: [username, password] });
      const { iat } = JSON.parse(Buffer.from(json.token.split(".")[1], "base64url").toString());
      return Math.abs(iat - (Date.now() / 1000 + seconds)) < 30;
    },
    { timeout: 5000 },
  );
}
afterEach(async () => {
  vi.useRealTimers();
  await setDatabaseClock(0);
});

test("the clock of an instance does not matter: the database's does", async () => {
  const token = await service.token(username);
  const dead = await revoked();
  for (const ms of [3_600_000, -86_400_000]) {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
    expect(await statusOf(token)).toBe(200);
    expect(await statusOf(dead)).toBe(401);
    expect(await statusOf(await service.token(username))).toBe(200);
    vi.useRealTimers();
  }
});

test("set forward an hour, tokens expire; set back, the revoked ones are still refused", async () => {
  const token = await service.token(username);
  const dead = await revoked();
  await setDatabaseClock(60 * minutes);
  expect(await service.send("GET", "/api/resource", { bearer: token })).toMatchObject({ problem: "token-expired" });
  expect(await statusOf(await service.token(username))).toBe(200);
  await service.sql("SELECT pg_sleep(1.5)"); // in which what has expired is forgotten
  await setDatabaseClock(0);
  expect(await service.send("GET", "/api/resource", { bearer: dead })).toMatchObject({ problem: "token-revoked" });
});

test("set back a day, nothing that expired or was revoked is accepted, and signing in works", async () => {
  const short = await startTestService({ TOKEN_TTL_SECONDS: "1" }, service.databaseUrl);
  const expired = await short.token(username);
  await vi.waitUntil(async () => (await statusOf(expired)) === 401, { timeout: 5000 });
  const dead = await revoked();
  await setDatabaseClock(-day);
  expect(await statusOf(expired)).toBe(401);
  expect(await statusOf(dead)).toBe(401);
  expect(await statusOf(await service.token(username))).toBe(200);
  expect(service.log.some((line) => line.includes("clock of the database was set back"))).toBe(true);
});
