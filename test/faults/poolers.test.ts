/** PgBouncer between Latchkey and Postgres: session mode works with all time limits; other modes are refused. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient, registerUser, untilRejected } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { runProgram, serveOn } from "../support/process.ts";
import { password, query, secretKey } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const postgres = await startBreakablePostgres();

/** Runs Debian's PgBouncer with deploy/pgbouncer.ini, with other paths and the test's settings. */
async function startPgBouncer(changes: Record<string, string>): Promise<{ url: string }> {
  const folder = await temporaryFolder(0o755);
  const port = await freePort();
  const { host, port: portOfPostgres, database, user } = postgres.connection;
  const settings: Record<string, string> = {
    listen_addr: "127.0.0.1",
    listen_port: String(port),
    unix_socket_dir: "",
    auth_type: "any",
    auth_file: "",
    logfile: "",
    pidfile: "",
    ...changes,
  };
  let text = await readFile("deploy/pgbouncer.ini", "utf8");
  text = text.replace(
    /^latchkey = .*$/m,
    `${database} = host=${host} port=${portOfPostgres} dbname=${database} user=${user}`,
  );
  for (const [name, value] of Object.entries(settings)) {
    text = text.replace(new RegExp(`^;?${name} *=.*\n`, "m"), "");
    text = text.replace("[pgbouncer]\n", `[pgbouncer]\n${name} = ${value}\n`);
  }
  await writeFile(join(folder, "pgbouncer.ini"), text);
  const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const pgbouncer = spawn("pgbouncer", [join(folder, "pgbouncer.ini")], {
    ...account,
    env: { PATH: `${process.env["PATH"]}:/usr/sbin` },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  pgbouncer.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  afterTest(async () => {
    pgbouncer.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });
  await vi.waitUntil(
    async () => {
      if (pgbouncer.exitCode !== null) throw new Error(said);
      const socket = connect(port, "127.0.0.1");
      const isThere = await once(socket, "connect").then(
        () => true,
        () => false,
      );
      socket.destroy();
      return isThere;
    },
    { timeout: 5_000 },
  );
  return { url: `postgres://${user}@127.0.0.1:${port}/${database}` };
}

test("session mode with deploy/pgbouncer.ini: everything works, and a hanging statement times out", async () => {
  const { url } = await startPgBouncer({});
  const send = createClient(await serveOn(url, { DATABASE_POOL_MAX: "5" }).url);
  await registerUser(send, { username: "miguel", password });
  const basic: [string, string] = ["miguel", password];
  const { json: session } = await send("POST", "/api/sessions", { basic });
  const reads = Array.from({ length: 20 }, () => send("GET", "/api/users/me", { bearer: session.access_token }));
  for (const { status } of await Promise.all(reads)) expect(status).toBe(200);
  const other = createClient(await serveOn(url, { DATABASE_POOL_MAX: "5" }).url);
  expect((await other("GET", "/api/resource", { bearer: session.access_token })).status).toBe(200);
  await send("DELETE", "/api/token", { bearer: session.access_token });
  await untilRejected(() => other("GET", "/api/resource", { bearer: session.access_token }));
  expect((await send("GET", "/readyz")).status).toBe(200);
  // Session settings apply behind the pooler: a write that waits for a lock fails by lock_timeout.
  const { default: pg } = await import("pg");
  const holder = new pg.Client(postgres.administrator);
  await holder.connect();
  await holder.query("BEGIN; LOCK TABLE latchkey.users IN ACCESS EXCLUSIVE MODE");
  expect((await send("GET", "/api/resource", { basic })).status).toBe(503);
  const waiting = await query(
    postgres.administrator,
    "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - query_start > interval '1.6 s'",
  );
  expect(waiting).toEqual([]);
  await holder.end();
  expect((await send("GET", "/api/resource", { basic })).status).toBe(200);
});

test.each([
  ["transaction", {}],
  ["statement", {}],
  ["transaction", { server_round_robin: "1", min_pool_size: "5" }],
])("%s mode is refused at the start, in one line, also while nobody else uses the pooler", async (mode, changes) => {
  const { url } = await startPgBouncer({ pool_mode: mode, ...changes });
  const program = runProgram([], { DATABASE_URL: url, SECRET_KEY: secretKey });
  expect(await program.exit).toBe(69);
  expect(program.stderr).toEqual([expect.stringMatching(/^latchkey: .*session mode is needed/)]);
});
