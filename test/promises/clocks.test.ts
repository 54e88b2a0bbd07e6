/** A wrong or adjusted clock makes no expired or revoked token valid. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { afterEach, expect, inject, test, vi } from "vitest";
import { startDatabaseClock } from "../../src/database/clock.ts";
import { openDatabase } from "../../src/database/database.ts";
import { afterTest } from "../support/afterTest.ts";
import { createKey, use } from "../support/apiKeys.ts";
import { password, query, startTestService, urlOf } from "../support/service.ts";

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

const name = new URL(service.databaseUrl).pathname.slice(1);
const asAdministrator = (text: string, values?: unknown[]) =>
  query({ ...inject("postgres"), database: name }, text, values);

// This database overrides `now()` and `clock_timestamp()`. Postgres calls built-in functions by OID, without reading
// their definition. But its planner inlines the body of an SQL function into each statement.
await asAdministrator(`
  CREATE TABLE public.clock_offset (seconds integer);
  INSERT INTO public.clock_offset VALUES (0);
  GRANT SELECT ON public.clock_offset TO PUBLIC;
  CREATE FUNCTION public.moved(moment timestamptz) RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT moment + make_interval(secs => (SELECT seconds FROM public.clock_offset))';
  CREATE FUNCTION public.moved_within_transaction() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT transaction_timestamp() + make_interval(secs => (SELECT seconds FROM public.clock_offset))';
  CREATE OR REPLACE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT public.moved(statement_timestamp())';
  CREATE OR REPLACE FUNCTION pg_catalog.now() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT public.moved_within_transaction()';`);
await asAdministrator(
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
  [name],
);

/** Sets the database's clock, and waits until the service has read it, and then the revocation list. */
async function setDatabaseClock(seconds: number): Promise<void> {
  await asAdministrator("UPDATE public.clock_offset SET seconds = $1", [seconds]);
  await vi.waitUntil(
    async () => {
      const { status, json } = await service.send("GET", "/api/token", { basic: [username, password] });
      if (status === 503) return false; // the lifetime of tokens is being recorded again
      const { iat } = JSON.parse(Buffer.from(json.token.split(".")[1], "base64url").toString());
      return Math.abs(iat - (Date.now() / 1000 + seconds)) < 30 && (await statusOf(json.token)) === 200;
    },
    { timeout: 15_000 },
  );
}
await setDatabaseClock(0); // returns when the service has connected again
afterEach(async () => {
  vi.useRealTimers();
  await setDatabaseClock(0);
});

test("times are the database's, not the instance's", async () => {
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

test("a clock set forward an hour expires tokens; set back, revoked tokens stay rejected", async () => {
  const token = await service.token(username);
  const dead = await revoked();
  await setDatabaseClock(60 * minutes);
  expect(await service.send("GET", "/api/resource", { bearer: token })).toMatchObject({ problem: "token-expired" });
  expect(await statusOf(await service.token(username))).toBe(200);
  await service.sql("SELECT pg_sleep(1.5)"); // expired entries are evicted meanwhile
  await setDatabaseClock(0);
  expect(await service.send("GET", "/api/resource", { bearer: dead })).toMatchObject({ problem: "token-revoked" });
});

test.each([
  ["forward", 10 * minutes],
  ["back", -10 * minutes],
])(
  "a clock set %s makes the instance record its token lifetime again before it issues tokens",
  async (_way, seconds) => {
    await service.sql("DELETE FROM token_lifetimes");
    await setDatabaseClock(seconds); // returns when a token was issued
    expect(await service.sql("SELECT FROM token_lifetimes WHERE seconds = 600")).toHaveLength(1);
  },
);

test("an API key that was deleted during a suspension of the machine, and whose entry has expired, is rejected", async () => {
  const { id, key } = await createKey(service, username);
  await vi.waitFor(async () => expect(await use(service, key)).toBe(200), 2_000);
  // Neither row is left when the instance reads the list again.
  await service.sql("DELETE FROM api_keys WHERE id = $1", [id]);
  expect(await use(service, key)).toBe(200);
  await setDatabaseClock(10 * minutes);
  await vi.waitFor(async () => expect(await use(service, key)).toBe("invalid-token"), 2_000);
  await setDatabaseClock(0);
});

test("a clock set back a day revives no token, and signing in works", async () => {
  const short = await startTestService({ TOKEN_TTL_SECONDS: "1" }, service.databaseUrl);
  const expired = await short.token(username);
  await vi.waitUntil(async () => (await statusOf(expired)) === 401, { timeout: 15_000 });
  const dead = await revoked();
  await setDatabaseClock(-day);
  expect(await statusOf(expired)).toBe(401);
  expect(await statusOf(dead)).toBe(401);
  expect(await statusOf(await service.token(username))).toBe(200);
  expect(service.log.some((line) => line.includes("clock of the database was set back"))).toBe(true);
});

test("a late response is a poor measurement of the time, used only if there is no better one", async () => {
  const { host, port, user, database: name } = inject("postgres");
  let delayMs = 400;
  let lateAnswers = 0;
  const link = createServer((client) => {
    const server = connect({ path: `${host}/.s.PGSQL.${port}` });
    client.pipe(server).on("error", () => {});
    client.on("error", () => {}).on("close", () => server.destroy());
    server.on("data", (answer) => {
      setTimeout(() => {
        client.write(answer);
        if (delayMs > 0) lateAnswers += 1;
      }, delayMs);
    });
  }).listen(0, "127.0.0.1");
  await once(link, "listening");
  const address = link.address() as AddressInfo;
  const database = openDatabase(urlOf({ host: address.address, port: address.port, user, database: name }), 1);
  const clock = await vi.waitFor(
    async () => {
      await database.read((knex) => knex.raw("SELECT 1")); // connects, so that the reading is one round trip
      return startDatabaseClock(database, () => {});
    },
    { timeout: 15_000 },
  );
  afterTest(async () => {
    await clock.close();
    await database.close();
    link.close();
  });
  const errorMs = () => Math.abs(clock.now().getTime() - Date.now());
  expect(errorMs()).toBeLessThan(1000);
  delayMs = 0;
  await vi.waitUntil(() => errorMs() < 125, { timeout: 15_000 });
  delayMs = 400;
  lateAnswers = 0;
  await vi.waitUntil(() => lateAnswers >= 2, { timeout: 15_000 });
  expect(errorMs()).toBeLessThan(150);
});
