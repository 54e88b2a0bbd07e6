/** A shutdown ends within its limit whatever hangs, and at any moment of a start. */

import { once } from "node:events";
import { copyFile, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import pg from "pg";
import { describe, expect, test } from "vitest";
import { findBinaries } from "../../src/database/embedded/binaries.ts";
import { accountForPostgres, clusterExists, createCluster } from "../../src/database/embedded/cluster.ts";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient, registerUser } from "../support/client.ts";
import { throughLink } from "../support/deadLink.ts";
import { type Program, runProgram } from "../support/process.ts";
import { createDatabase, password, query, secretKey } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

/** The limit in the RUNBOOK, beyond the grace period. */
const boundMs = 20_000;

const line = async ({ stdout }: Program, text: string, count = 1) => {
  while (stdout.filter((one) => one.includes(text)).length < count) await sleep(5);
};

/** Sends the head of a request whose body never comes. A server that closes waits for it for seconds. */
async function sendWithoutBody(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on("error", () => {});
  afterTest(() => socket.destroy());
  socket.write(
    "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
  );
  expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1.1 100/);
}

async function untilRefused(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const connects = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (!connects) return;
    await sleep(5);
  }
}

/**
 * Whether main.ts listens to signals. Node itself handles SIGTERM too, but not SIGHUP, to which main.ts listens last.
 * (From /proc, so always false where this is not Linux.)
 */
async function listensToSignals({ process: { pid } }: Program): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const handled = /^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${handled}`) & 1n) === 1n;
}

/** Until then, Node's own handler or the signal's default action would end the program. */
async function untilItListensToSignals(program: Program): Promise<void> {
  while (!(await listensToSignals(program))) {
    expect(program.process.exitCode, program.stderr.join("\n")).toBeNull();
    await sleep(5);
  }
}

/** @returns how the program ended, and the milliseconds until then */
async function ended(program: Program, signal: NodeJS.Signals) {
  const told = performance.now();
  program.process.kill(signal);
  return { status: await program.exit, ms: performance.now() - told };
}

async function dataFolder(): Promise<string> {
  const folder = await temporaryFolder(0o755);
  return folder;
}

describe("SIGTERM, with requests waiting for Postgres,", { timeout: 120_000 }, () => {
  const faults = {
    "behind a dead link": async () => {
      const { url, cut } = await throughLink(await createDatabase());
      return { url, hang: cut };
    },
    frozen: async () => {
      const postgres = await startBreakablePostgres();
      return { url: postgres.url, hang: postgres.freeze };
    },
  };
  test.each([
    ["behind a dead link", "1"],
    ["behind a dead link", "2"],
    ["frozen", "1"],
    ["frozen", "2"],
  ] as const)("%s, and WORKERS=%s, ends the program within the bound", async (fault, WORKERS) => {
    const { url, hang } = await faults[fault]();
    const program = runProgram([], { DATABASE_URL: url, SECRET_KEY: secretKey, WORKERS, SHUTDOWN_GRACE_SECONDS: "1" });
    const send = createClient(await program.url);
    await registerUser(send, { username: "miguel", password });
    await hang();
    const ask = () => send("GET", "/api/token", { basic: ["miguel", password] });
    const waiting = Promise.allSettled(Array.from({ length: 5 }, ask));
    const { status, ms } = await ended(program, "SIGTERM");
    await waiting;
    console.log({ fault, WORKERS, ms: Math.round(ms) });
    expect(ms).toBeLessThan(1_000 + boundMs);
    expect(status).toBe(0); // everything is closed, though Postgres does not respond
    expect(program.stdout.at(-1)).toContain('"msg":"stopped"');
  });

  test("a third signal exits at once", async () => {
    const { url: DATABASE_URL, cut } = await throughLink(await createDatabase());
    const settings = { DATABASE_URL, SECRET_KEY: secretKey, SHUTDOWN_GRACE_SECONDS: "60" };
    const program = runProgram([], settings);
    const url = await program.url;
    await registerUser(createClient(url), { username: "miguel", password });
    await sendWithoutBody(url); // so that the third signal arrives before everything is closed
    cut();
    program.process.kill("SIGTERM");
    await line(program, '"stopping"');
    program.process.kill("SIGTERM");
    await untilRefused(Number(new URL(url).port)); // the second one was handled
    await sleep(400); // signals that arrive together count as one
    const { status, ms } = await ended(program, "SIGTERM");
    expect(status).toBe(143);
    expect(ms).toBeLessThan(1_000);
    expect(program.stdout.join("\n")).toMatch(/"pending":\[.*"database".*"stopped by force"/);
  });
});

describe("SIGTERM during a start", { timeout: 120_000 }, () => {
  test("that creates a database ends it at any moment, and leaves no partial database", async () => {
    const DATA_DIR = await dataFolder();
    const statuses: unknown[] = [];
    let slowest = 0;
    for (const delay of [0, 250, 300, 350, 400, 600, 800, 1_000, 1_300, 1_700, 2_500]) {
      const program = runProgram([], { DATA_DIR: join(DATA_DIR, String(delay)) });
      await sleep(delay);
      const listened = await listensToSignals(program);
      const { status, ms } = await ended(program, "SIGTERM");
      slowest = Math.max(slowest, ms);
      expect(program.stderr, `after ${delay} ms`).toEqual([]);
      const left = await readdir(join(DATA_DIR, String(delay))).catch(() => []);
      // Until main.ts listens, the signal's default action ends Node. Then nothing was made or said.
      const tooEarly = !listened && left.length === 0 && program.stdout.length === 0;
      statuses.push(status === "SIGTERM" && tooEarly ? 0 : status);
      const partial = left.filter((name) => name === "postgres.new" || name === "postgres.run");
      expect(partial, `after ${delay} ms, of ${left}: ${program.stdout.join("\n")}`).toEqual([]);
    }
    console.log({ slowestMs: Math.round(slowest) });
    expect(new Set(statuses)).toEqual(new Set([0]));
    expect(slowest).toBeLessThan(5_000);
  });

  test("that has just created a database keeps it", async () => {
    const dataDir = await dataFolder();
    const path = join(dataDir, "postgres");
    const account = await accountForPostgres(path);
    const binaries = await findBinaries(account, () => {});
    // The signal arrives too late to end initdb, and before the database gets its name.
    const folder = await dataFolder();
    const [initdb, hold] = [join(folder, "initdb"), join(folder, "hold")];
    await writeFile(hold, "");
    const script = `"${binaries.initdb}" "$@" || exit\nwhile [ -e "${hold}" ]; do sleep 0.02; done`;
    await writeFile(initdb, `#!/bin/sh\ntrap '' TERM\n${script}\n`, { mode: 0o755 });
    const cluster = { dataDir, path, account, binaries: { ...binaries, initdb } };
    const lock = await open(join(dataDir, "postgres.lock"), "w");
    const start = new AbortController();
    const creating = createCluster(cluster, lock, start.signal);
    while (!(await readdir(dataDir)).includes("postgres.new")) await sleep(5);
    while (!(await readdir(join(dataDir, "postgres.new"))).includes("PG_VERSION")) await sleep(5);
    start.abort(new Error("cancelled"));
    await rm(hold);
    await expect(creating).rejects.toThrow("cancelled");
    await lock.close();
    expect((await readdir(dataDir)).sort()).toEqual(["postgres", "postgres.lock"]);
    expect(await clusterExists(cluster)).toBe(true);
  });

  test("whose migration waits for a lock", async () => {
    const DATABASE_URL = await createDatabase("template0");
    const other = new pg.Client(DATABASE_URL);
    await other.connect();
    afterTest(() => other.end());
    await other.query("SELECT pg_advisory_lock(5391647)");
    const program = runProgram([], { DATABASE_URL, SECRET_KEY: secretKey });
    const waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while ((await query(DATABASE_URL, waits)).length === 0) {
      expect(program.process.exitCode).toBeNull();
      await sleep(20);
    }
    const { status, ms } = await ended(program, "SIGTERM");
    expect(status).toBe(0);
    expect(ms).toBeLessThan(2_000);
    await other.query("SELECT pg_advisory_unlock(5391647)");
    while ((await query(DATABASE_URL, "SELECT FROM pg_stat_activity WHERE application_name = 'latchkey'")).length > 0)
      await sleep(20);
    expect(await query(DATABASE_URL, "SELECT FROM pg_class WHERE relname = 'users'")).toEqual([]);
  });

  test.each(["1", "2"])("that Postgres does not answer, with WORKERS=%s", async (WORKERS) => {
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    afterTest(() => silent.close());
    const asked = new Promise((resolve) => silent.once("connection", resolve));
    await once(silent, "listening");
    const { port } = silent.address() as { port: number };
    const settings = { DATABASE_URL: `postgres://u@127.0.0.1:${port}/x`, SECRET_KEY: secretKey, WORKERS };
    const program = runProgram([], settings);
    await asked;
    const { status, ms } = await ended(program, "SIGTERM");
    expect(status).toBe(0);
    expect(ms).toBeLessThan(2_000);
  });

  test("of workers, at any moment", async () => {
    const DATABASE_URL = await createDatabase();
    for (const delay of [800, 1_400, 2_000]) {
      const program = runProgram([], { DATABASE_URL, SECRET_KEY: secretKey, WORKERS: "2" });
      await untilItListensToSignals(program);
      await sleep(delay);
      const { status, ms } = await ended(program, "SIGTERM");
      expect(status, `after ${delay} ms`).toBe(0);
      expect(ms).toBeLessThan(6_000);
      expect(program.stderr).toEqual([]);
    }
  });
});

describe("SIGHUP", { timeout: 60_000 }, () => {
  test.each(["1", "2"])("stops nothing, and has the certificate read at once, with WORKERS=%s", async (WORKERS) => {
    const folder = await dataFolder();
    const [TLS_CERT, TLS_KEY] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    const use = async (name: string) => {
      await copyFile(`test/support/certificates/${name}.cert.pem`, TLS_CERT);
      await copyFile(`test/support/certificates/${name}.key.pem`, TLS_KEY);
    };
    await use("one");
    const settings = { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey, TLS_CERT, TLS_KEY, WORKERS };
    const program = runProgram([], settings);
    const { port } = new URL(await program.url);
    const fingerprint = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connectTls({ port: Number(port), host: "127.0.0.1", rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        });
        socket.once("error", reject);
      });
    // A worker that starts later reads the new certificate, and changes nothing.
    if (WORKERS !== "1") await line(program, "a worker serves", Number(WORKERS));
    const before = await fingerprint();
    await use("other");
    program.process.kill("SIGHUP");
    await line(program, "reading the certificate again");
    await line(program, "the certificate was changed", Number(WORKERS)); // each worker says so
    for (let count = 0; count < 4; count += 1) expect(await fingerprint()).not.toBe(before);
    program.process.kill("SIGHUP");
    expect(await fingerprint()).not.toBe(before);
    expect((await ended(program, "SIGTERM")).status).toBe(0);
  });
});
