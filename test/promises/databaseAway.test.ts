/** While the database is unavailable, frozen or restarting, responses are quick 503s. The service needs no restart. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { connect as connectTo, noTimeLimits } from "../../src/database/connect.ts";
import { openDatabase } from "../../src/database/database.ts";
import { sendSignal } from "../../src/database/embedded/commands.ts";
import { isOutage } from "../../src/database/errors.ts";
import { openPools } from "../../src/database/pools.ts";
import { createWriteCheck } from "../../src/database/writeCheck.ts";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import type { Received } from "../support/client.ts";
import { password, query, startTestService } from "../support/service.ts";

const postgres = await startBreakablePostgres();
const stalenessSeconds = 4;
const service = await startTestService({ REVOCATION_STALENESS_SECONDS: String(stalenessSeconds) }, postgres.url);
await vi.waitUntil(
  async () => (await service.send("POST", "/api/users", { json: { username: "miguel", password } })).status === 201,
  10_000,
);
const basic: [string, string] = ["miguel", password];

/** Every operation that needs the database responds with 503 within 3 s. */
async function expectAway(): Promise<void> {
  const answers = [
    service.send("GET", "/api/resource", { basic }),
    service.send("GET", "/api/token", { basic }),
    service.send("POST", "/api/users", { json: { username: "susan", password } }),
    service.send("GET", "/readyz"),
  ].map(async (sent) => {
    const started = performance.now();
    const answer = await sent;
    return { answer, tookMs: performance.now() - started };
  });
  for (const { answer, tookMs } of await Promise.all(answers)) {
    expect(answer).toMatchObject({ status: 503, problem: "database-unavailable" });
    expect(answer.header("retry-after")).toBe("2");
    expect(tookMs).toBeLessThan(3000);
  }
}

/** Serves again within 2 s, without a restart. */
async function expectBack(): Promise<void> {
  const deadline = performance.now() + 2000;
  for (const target of ["/api/resource", "/readyz"]) {
    await eventually(() => service.send("GET", target, { basic }), { status: 200 }, deadline - performance.now());
  }
}

const aToken = await service.token("miguel");

test("on another server, the token lifetime is recorded before a token is issued", async () => {
  await query(postgres.administrator, "DELETE FROM latchkey.token_lifetimes"); // as a failover may lose it
  await postgres.stop();
  await postgres.start();
  // Once the instance has noticed, it records without waiting for the next renewal.
  await vi.waitUntil(
    async () => (await query(postgres.administrator, "SELECT FROM latchkey.token_lifetimes")).length === 1,
    5_000,
  );
  await expectBack();
});

test("Postgres is stopped and started again", async () => {
  await postgres.stop();
  await expectAway();
  await postgres.start();
  await expectBack();
});

const terminateBackends = () =>
  service.sql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
  );
const backends = async () => {
  const rows = await service.sql(
    "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
  );
  return rows.map(({ pid }) => Number(pid));
};
const checks = (count: number) =>
  Promise.all(Array.from({ length: count }, () => service.send("GET", "/api/users/me", { bearer: aToken })));

const administrator = { ...postgres.administrator, options: "-c default_transaction_read_only=off" };
const asAdministrator = (text: string) => query(administrator, text);
const signIn = () => service.send("POST", "/api/sessions", { basic });
const checkToken = () => service.send("GET", "/api/resource", { bearer: aToken });

/** @param expected of the answer's members */
async function eventually(send: () => Promise<Received>, expected: object, withinMs: number): Promise<void> {
  for (const deadline = performance.now() + withinMs; ; await sleep(20)) {
    const answer = await send();
    if (performance.now() > deadline || answer.status === (expected as Received).status) {
      expect(answer).toMatchObject(expected);
      return;
    }
    expect([200, 201, 503]).toContain(answer.status);
  }
}

/** Writes fail: sign-in and readiness do too. */
async function expectReadOnly(): Promise<void> {
  await eventually(() => service.send("GET", "/readyz"), { status: 503, problem: "database-unavailable" }, 2_000);
  for (let round = 0; round < 3; round += 1) expect((await signIn()).status).toBe(503);
}

/** Tokens are rejected after the bound, and not before. */
const expectStale = () =>
  eventually(checkToken, { status: 503, problem: "revocations-stale" }, (stalenessSeconds + 2) * 1000);

async function expectWritable(): Promise<void> {
  await eventually(signIn, { status: 201 }, 2_000);
  await eventually(() => service.send("GET", "/readyz"), { status: 200 }, 500); // a failure is cached for 250 ms
  await eventually(checkToken, { status: 200 }, 2_000);
}

test("a server is demoted to a standby and promoted again", async () => {
  await expectWritable();
  const state = () => service.log.findLast((line) => line.includes("the database is"));
  await vi.waitUntil(() => !state()?.includes("the database is away"), 15_000);
  const before = service.log.length;
  await checks(10);
  await postgres.stop();
  await postgres.startAsStandby();
  await expectReadOnly();
  await expectStale();
  const lines = service.log.slice(before).map((line) => JSON.parse(line));
  expect(lines.filter(({ level, req }) => level >= 40 && !req)).toMatchObject([{ msg: "the database is away" }]);
  await postgres.promote();
  await expectWritable();
});

test("connections opened while the database was read-only are not used afterTest", async () => {
  const { database } = postgres.connection;
  await asAdministrator(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
  await terminateBackends();
  await expectReadOnly();
  await asAdministrator(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
  await expectWritable();
});

test("a running server becomes read-only by its configuration", async () => {
  const setReadOnly = async (value: string) => {
    await asAdministrator(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
    await asAdministrator("SELECT pg_reload_conf()");
  };
  await setReadOnly("on");
  await eventually(() => service.send("GET", "/readyz"), { status: 503, problem: "database-unavailable" }, 3_000);
  await setReadOnly("off");
  await expectWritable();
});

test.each([
  ["write access to a table", "INSERT ON sessions"],
  ["the function that finds an account", "EXECUTE ON FUNCTION find_account(text, uuid)"],
  ["the function that ends sessions", "EXECUTE ON FUNCTION end_oldest_sessions(uuid, integer, integer)"],
])("a role without %s is not ready", async (_name, privilege) => {
  await service.sql(`REVOKE ${privilege} FROM CURRENT_USER, PUBLIC`);
  await eventually(() => service.send("GET", "/readyz"), { status: 503, problem: "database-unavailable" }, 2_000);
  await service.sql(`GRANT ${privilege} TO CURRENT_USER`);
  await eventually(() => service.send("GET", "/readyz"), { status: 200 }, 2_000);
});

test("connections killed before and during requests: no read fails", async () => {
  for (let round = 0; round < 10; round += 1) {
    const amid = checks(20);
    await terminateBackends();
    for (const { status } of await amid) expect(status).toBe(200);
    for (const { status } of await checks(5)) expect(status).toBe(200);
  }
});

test("a slow request body does not count as an outage", async () => {
  const body = JSON.stringify({ username: "slow", password });
  const head = `POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname, () => socket.write(head));
  await sleep(3_000);
  socket.write(body);
  const [answer] = await once(socket, "data");
  socket.destroy();
  expect(String(answer)).toMatch(/^HTTP\/1.1 201 /);
});

test("silent connections are closed: the next requests get new ones", async () => {
  await checks(10);
  const silent = await backends();
  expect(silent.length).toBeGreaterThan(0);
  for (const pid of silent) sendSignal(pid, "SIGSTOP"); // one may have ended meanwhile
  try {
    for (const { status } of await checks(10)) expect([200, 503]).toContain(status);
    await expectBack();
    for (const { status } of await checks(10)) expect(status).toBe(200);
  } finally {
    for (const pid of silent) sendSignal(pid, "SIGCONT");
  }
});

test("a server that closes every connection times out within 3 s", async () => {
  const connections: Socket[] = [];
  const unfriendly = createServer((socket) => {
    connections.push(socket);
    socket.on("error", () => {});
    setTimeout(() => socket.destroy(), 900);
  }).listen(0, "127.0.0.1");
  await once(unfriendly, "listening");
  const { port } = unfriendly.address() as { port: number };
  const database = openDatabase(`postgres://x@127.0.0.1:${port}/x`, 10);
  const began = performance.now();
  await expect(database.read((knex) => knex.raw("SELECT 1"))).rejects.toMatchObject({ slug: "database-unavailable" });
  expect(performance.now() - began).toBeLessThan(3000);
  await database.close();
  for (const socket of connections) socket.destroy();
  unfriendly.close();
});

test("a query that times out because this process was busy is not logged as an outage", async () => {
  const lines: string[] = [];
  const { background, close } = openPools(postgres.url, 1, pino({}, { write: (line) => void lines.push(line) }));
  onTestFinished(close);
  await background.read((knex) => knex.raw("SELECT 1"));
  const asking = background.read((knex) => knex.raw("SELECT pg_sleep(1)"));
  asking.catch(() => {});
  // The connection is open: the query is sent within a few turns of the event loop.
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
  await expect(asking).rejects.toMatchObject({ slug: "database-unavailable" });
  await background.read((knex) => knex.raw("SELECT 1"));
  await sleep(1_100); // an outage would be logged by now
  expect(lines).toEqual([]);
});

test("readiness does not fail where its connections are killed", async () => {
  const database = openDatabase(postgres.url, 2);
  onTestFinished(() => database.close());
  await createWriteCheck(database)();
  const killed = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()`;
  for (let round = 0; round < 30; round += 1)
    await Promise.all([createWriteCheck(database)(), query(postgres.url, killed)]);
});

test("a frozen Postgres times out", async () => {
  await postgres.freeze();
  await expectAway();
  await expectAway();
  postgres.thaw();
  await expectBack();
});

test("DNS failures and connections closed during the TLS handshake count as outages", async () => {
  const closing = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
  await once(closing, "listening");
  afterTest(() => closing.close());
  const { port } = closing.address() as AddressInfo;
  const urls = ["nosuchhost.invalid", `127.0.0.1:${port}`, `127.0.0.1:${port}`].map((host) => `postgres://x@${host}/x`);
  for (const url of [...urls.slice(0, 2), `${urls[2]}?sslmode=verify-full`]) {
    const error = await connectTo(url, noTimeLimits).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Error);
    expect(isOutage(error), String(error)).toBe(true);
  }
  const system = (code: string) => Object.assign(new Error("getaddrinfo"), { code });
  for (const code of ["EAI_AGAIN", "CERT_HAS_EXPIRED", "DEPTH_ZERO_SELF_SIGNED_CERT", "ERR_TLS_CERT_ALTNAME_INVALID"])
    expect(isOutage(system(code)), code).toBe(true);
  expect(isOutage(system("ERR_INVALID_ARG_TYPE"))).toBe(false);
});
