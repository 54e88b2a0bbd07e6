/**
 * The embedded Postgres: a real Postgres server that belongs to this process, for whoever has not set
 * DATABASE_URL. Below the data directory it keeps
 *
 *     postgres/        the database cluster (postgres.new/ while it is being made)
 *     postgres.run/    the folder of its Unix socket, while it runs; there is no TCP port
 *     postgres.log     what the server says
 *     service.lock     locked by the one service that uses the data directory
 *     postgres.lock    locked by every process of Postgres
 *
 * Both locks are flock(2) locks. The kernel releases them however their holders die, so nothing here has to
 * guess from process ids, which are reused, and which are always 1 in a container:
 *
 * - service.lock is taken: another service lives, and we refuse.
 * - postgres.lock is taken although we hold service.lock: an earlier service left its Postgres behind, and we
 *   stop it. The lock is an open file that all processes of Postgres inherit, so once we have it none is left.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  type FileHandle,
  constants as flags,
  lchown,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { constants, hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "../pg.ts";
import { accountName } from "./accountName.ts";
import { type Account, type Binaries, childEnvironment, EmbeddedPostgresError, findBinaries, run } from "./binaries.ts";
import { complaintOf, isRoot, makeDataDirectory, unusable } from "./dataDirectory.ts";
import { type EmbeddedConnection, prepareRoles, serviceConnection, superuser } from "./roles.ts";

export { EmbeddedPostgresError };

export type EmbeddedPostgres = {
  /** What `pg` and Knex connect with, as the owner of the database; `host` is the folder of the Unix socket. There is no password. */
  connection: EmbeddedConnection;
  /** The database cluster, with its real path. */
  dataDirectory: string;
  /** Resolves when Postgres has ended and everything that belonged to it is released; never rejects. */
  exited: Promise<PostgresExit>;
  /**
   * Shuts Postgres down and waits until nothing of it is left. Open connections are cut and what they had not
   * committed is rolled back. Usually less than 100 ms, at most 20 s. Calling it again, or after Postgres has
   * ended, does no harm.
   */
  stop(): Promise<void>;
};

/** How Postgres ended; `expected` when it was asked to by `stop`. */
export type PostgresExit = { code: number | null; signal: string | null; expected: boolean };

/** What a postmaster is sent until it ends, and how long each may take. Nothing committed is lost by any of them. */
const SHUTDOWNS = [
  { signal: "SIGINT", timeoutMs: 10_000 }, // "fast": ends the sessions and writes a checkpoint
  { signal: "SIGQUIT", timeoutMs: 6_000 }, // "immediate": leaves the rest to the recovery of the next start
  { signal: "SIGKILL", timeoutMs: 4_000 }, // its children notice and end too
] as const;

const START_TIMEOUT_MS = 30_000;
const LARGEST_LOG_BYTES = 5 * 1024 * 1024;

/** The shortest of the platforms' limits for the path of a Unix socket: 103 on macOS, 107 on Linux. */
const LONGEST_SOCKET_PATH_BYTES = 103;

/** Part of the socket's name; nothing listens on it. */
const PORT = 5432;

/**
 * The shell that Postgres is a child of. It ends when Postgres ends, with its exit status, and shuts Postgres down
 * when its standard input closes: that is a pipe whose other end only Node has, so it closes however Node dies.
 * Signals that are sent to all of us at once (by a terminal, by systemd) must not end it before Postgres.
 * Arguments: the socket folder to tidy away, then the command.
 */
const WATCHDOG = `
trap '' HUP INT QUIT TERM
exec 4<&0 </dev/null
sockets=$1; shift
"$@" 4<&- & postgres=$!
{ read -r _ <&4; kill -INT $postgres; } 2>/dev/null & guard=$!
wait $postgres; status=$?
kill -KILL $guard 2>/dev/null; wait $guard 2>/dev/null
rm -rf "$sockets" 2>/dev/null
exit $status`;

/**
 * Starts the embedded Postgres, making its database cluster the first time. All that was committed by an
 * earlier run is there, however that run ended.
 *
 * Run by root, Postgres itself runs as the account that owns the cluster, or `nobody` for a new one.
 *
 * @param options.dataDir made when missing; relative to the working directory.
 * @param options.parameters more settings of Postgres, by name; they win over ours.
 * @param options.log told what a person may want to know; nothing in an ordinary start.
 * @param options.cancelled cancels the start: what it has begun is stopped and removed, then the promise is rejected.
 * @throws {EmbeddedPostgresError} when the data directory is in use by another service (known within 2 s) or not
 *   writable, was made by another major version of Postgres, when there is no embedded Postgres for this
 *   machine, or when it is not ready in 30 s.
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  parameters?: Record<string, string>;
  log?: (message: string) => void;
  cancelled?: AbortSignal;
}): Promise<EmbeddedPostgres> {
  const { log = () => undefined, cancelled } = options;
  const locks: FileHandle[] = [];
  try {
    const dataDir = await makeDataDirectory(resolve(options.dataDir));
    const cluster = join(dataDir, "postgres");
    locks.push(await lockForService(dataDir, cancelled));
    const account = await accountForPostgres(cluster);
    const place: Place = { dataDir, cluster, account, binaries: await findBinaries(account, log), cancelled };
    const postgresLock = await lockForPostgres(dataDir, log, cancelled);
    locks.push(postgresLock);
    if (!(await isClusterThere(place))) {
      log(`Making a new database in ${cluster}.`);
      await makeCluster(place, postgresLock);
    }
    await forgetDeadPostmaster(cluster);
    return await launch(place, options.parameters ?? {}, locks, postgresLock);
  } catch (error) {
    for (const lock of locks) await lock.close();
    throw unusable(options.dataDir, error);
  }
}

/**
 * Where the Postgres of a data directory listens while another process runs it.
 * @returns undefined when it does not run, or does not answer.
 */
export async function findRunningPostgres(dataDir: string): Promise<EmbeddedPostgres["connection"] | undefined> {
  // The fifth line is the folder of the socket (Postgres' documentation of postmaster.pid).
  const record = await readFile(join(dataDir, "postgres", "postmaster.pid"), "utf8").catch(() => "");
  const host = record.split("\n")[4];
  if (!host) return undefined;
  const connection = serviceConnection(host, PORT);
  const client = new pg.Client({ ...connection, ssl: false, connectionTimeoutMillis: 1_000 });
  client.on("error", () => {});
  const isThere = await client.connect().then(
    () => true,
    () => false,
  );
  await client.end();
  return isThere ? connection : undefined;
}

/** What the steps of a start have to know. */
type Place = {
  dataDir: string;
  cluster: string;
  account: Account | undefined;
  binaries: Binaries;
  cancelled: AbortSignal | undefined;
};

/** Postgres refuses to run as root. No account is added to the machine for it. */
async function accountForPostgres(cluster: string): Promise<Account | undefined> {
  if (!isRoot()) return undefined;
  const owner = await stat(cluster).catch(() => undefined);
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = await readFile("/etc/passwd", "utf8").catch(() => "");
  const [, uid = "65534", gid = "65534"] = /^nobody:[^:]*:(-?\d+):(-?\d+):/m.exec(accounts) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/**
 * Opens a file, made when missing, and takes its lock; undefined when somebody else has it. The lock belongs to
 * the open file: closing the handle, or the end of every process that has it, releases it.
 */
async function takeLock(path: string): Promise<FileHandle | undefined> {
  if (process.platform === "darwin") {
    const O_EXLOCK = 0x20; // open(2) of macOS locks by itself; Node does not name the flag
    try {
      return await open(path, flags.O_RDWR | flags.O_CREAT | flags.O_NOFOLLOW | flags.O_NONBLOCK | O_EXLOCK, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
      throw error;
    }
  }
  // Not through a link: the folder may be another account's, and we may be root.
  const handle = await open(path, flags.O_RDWR | flags.O_CREAT | flags.O_NOFOLLOW, 0o600);
  // Node cannot call flock(2). The program locks the open file that we share with it, so the lock outlives it.
  const { code, output } = await run("flock", ["-n", "3"], { handles: [handle.fd] });
  if (code === 0) return handle;
  await handle.close();
  if (code === 1) return undefined;
  throw new EmbeddedPostgresError(
    `Cannot lock ${path}, which needs the program "flock" of util-linux: ${output.trim()}`,
  );
}

async function lockForService(dataDir: string, cancelled?: AbortSignal): Promise<FileHandle> {
  const path = join(dataDir, "service.lock");
  // Waits for a moment: another service may be about to end.
  const lock = await poll(1_000, () => takeLock(path), cancelled);
  if (lock === undefined) {
    const owner = (await readFile(path, "utf8")).trim();
    throw new EmbeddedPostgresError(
      `The data directory ${dataDir} is in use by another Latchkey${owner && ` (${owner})`}. ` +
        "Stop that one first, or set DATA_DIR to another folder.",
    );
  }
  await lock.truncate();
  await lock.write(`process ${process.pid} on ${hostname()}\n`, 0);
  return lock;
}

/** Waits for what is left of an earlier Postgres, and stops it when nobody else does. */
async function lockForPostgres(
  dataDir: string,
  log: (message: string) => void,
  cancelled?: AbortSignal,
): Promise<FileHandle> {
  const path = join(dataDir, "postgres.lock");
  let lock = await takeLock(path);
  for (const { signal, timeoutMs } of SHUTDOWNS) {
    if (lock) break;
    const leftover = await postmasterOf(join(dataDir, "postgres"));
    log(`Waiting for the Postgres${leftover ? ` (process ${leftover})` : ""} that an earlier Latchkey left behind.`);
    if (leftover) sendSignal(leftover, signal);
    lock = await poll(timeoutMs, () => takeLock(path), cancelled);
  }
  if (lock) return lock;
  throw new EmbeddedPostgresError(
    `The data directory ${dataDir} is in use by a Postgres of an earlier Latchkey that does not stop. End its processes.`,
  );
}

/** Tells our postmasters apart in the list of processes; Postgres ignores settings with such a name. */
function marker(cluster: string): string {
  return `latchkey.data_directory=${cluster}`;
}

/** The process id of the postmaster that runs on this cluster and was started by this file. */
async function postmasterOf(cluster: string): Promise<number | undefined> {
  const pid = await recordedPid(cluster);
  return pid && (await commandLine(pid)).includes(marker(cluster)) ? pid : undefined;
}

async function recordedPid(cluster: string): Promise<number | undefined> {
  return Number.parseInt(await readRecord(cluster), 10) || undefined;
}

/** What a postmaster writes down about itself: its process id first, its state last. */
async function readRecord(cluster: string): Promise<string> {
  return readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "");
}

/** Empty when there is no such process. */
async function commandLine(pid: number): Promise<string> {
  if (process.platform === "linux") return readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return (await run("ps", ["-ww", "-o", "args=", "-p", String(pid)])).output;
}

/**
 * Removes the record of a Postgres that was killed: if another process has its number by now, as is usual in
 * containers, Postgres would take that one for itself and refuse to start. None of ours lives, since we hold its
 * lock; one that somebody started by hand is left for Postgres to complain about.
 */
async function forgetDeadPostmaster(cluster: string): Promise<void> {
  const pid = await recordedPid(cluster);
  const command = pid ? await commandLine(pid) : "";
  const startedByHand = /^[^\0]*postgres[\0 ]/.test(command) && !command.includes(marker(""));
  if (!startedByHand) await rm(join(cluster, "postmaster.pid"), { force: true });
}

async function isClusterThere({ cluster, binaries }: Place): Promise<boolean> {
  const version = await readFile(join(cluster, "PG_VERSION"), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (version?.trim() === binaries.majorVersion) return true;
  if (version) {
    throw new EmbeddedPostgresError(
      `The data in ${cluster} were made by Postgres ${version.trim()}, but this Latchkey brings Postgres ` +
        `${binaries.majorVersion}. Dump them with the Latchkey that made them, or set DATABASE_URL.`,
    );
  }
  if (!(await stat(cluster).catch(() => undefined))) return false;
  throw new EmbeddedPostgresError(`${cluster} is in the way: it is not a database cluster of Postgres.`);
}

/**
 * Runs a program in a user namespace in which we have the name of an account: initdb, and nothing else of Postgres, insists
 * on an entry in /etc/passwd, which a uid that was given to a container does not have. Some systems do not permit it.
 */
const asNobody = ["unshare", "--user", "--map-user=65534", "--map-group=65534"];

/** Makes the database cluster under another name first, so that what has the right name is always complete. */
async function makeCluster(place: Place, postgresLock: FileHandle): Promise<void> {
  const { dataDir, cluster, account, binaries, cancelled } = place;
  const fresh = `${cluster}.new`;
  await makePrivateFolder(fresh, account);
  const path = asSeenFromInside(fresh, account);
  const args = ["-D", path, `--username=${superuser}`, "--locale=C", "--encoding=UTF8", "-A", "trust"];
  const options = { account, cwd: fresh, handles: [postgresLock.fd], cancelled };
  const [program, ...rest] = [...(accountName() ? [] : asNobody), binaries.initdb, ...args] as [string, ...string[]];
  const { code, output } = await run(program, rest, options);
  if (code !== 0) await removeFolder(fresh);
  cancelled?.throwIfAborted();
  if (code !== 0) {
    const advice = accountName()
      ? ""
      : ` The user ${process.getuid?.()} has no entry in /etc/passwd, which initdb needs.`;
    throw new EmbeddedPostgresError(
      `Postgres could not make a database in ${cluster}: ${complaintOf(output)}.${advice} ` +
        "Choose another DATA_DIR or user, or set DATABASE_URL to use a Postgres of your own.",
    );
  }
  await rename(fresh, cluster);
  const folder = await open(dataDir);
  await folder.sync(); // initdb has done this for the contents; this is for the name
  await folder.close();
}

/** Replaces whatever has this name by an empty folder that only Postgres can enter. */
async function makePrivateFolder(path: string, account: Account | undefined): Promise<void> {
  await removeFolder(path);
  await mkdir(path, { mode: 0o700 });
  if (account) await lchown(path, account.uid, account.gid);
}

/**
 * By rm(1), which unlike Node's cannot be led elsewhere by symbolic links that appear meanwhile: we may be root,
 * and the folder may belong to somebody else.
 */
async function removeFolder(path: string): Promise<void> {
  await run("rm", ["-rf", "--", path]);
}

/**
 * The path by which Postgres, started inside of its data folder, finds it. The account that root gives to
 * Postgres often cannot pass through the parents of that folder (think of /root), and must not be given the right
 * to; but a process needs no right on the parents of its working directory.
 */
function asSeenFromInside(folder: string, account: Account | undefined): string {
  return account && process.platform === "linux" ? "/proc/self/cwd" : folder;
}

/** In the data directory, or in a temporary folder where that is too long a path or out of Postgres' reach. */
async function makeSocketFolder(dataDir: string, account: Account | undefined): Promise<string> {
  const folder = join(dataDir, "postgres.run");
  await makePrivateFolder(folder, account);
  const socket = join(folder, `.s.PGSQL.${PORT}`);
  const inReach = await run("/bin/sh", ["-c", 'test -w "$0"', folder], { account });
  if (inReach.code === 0 && Buffer.byteLength(socket) <= LONGEST_SOCKET_PATH_BYTES) return folder;
  await removeFolder(folder);
  const elsewhere = await mkdtemp(join(tmpdir(), "latchkey-"));
  if (account) await lchown(elsewhere, account.uid, account.gid);
  return elsewhere;
}

async function launch(
  { dataDir, cluster, account, binaries, cancelled }: Place,
  parameters: Record<string, string>,
  locks: FileHandle[],
  postgresLock: FileHandle,
): Promise<EmbeddedPostgres> {
  const sockets = await makeSocketFolder(dataDir, account);
  const settings = {
    listen_addresses: "",
    unix_socket_directories: `"${sockets.replaceAll('"', '""')}"`,
    unix_socket_permissions: "0700",
    port: String(PORT),
    shared_buffers: "128MB",
    max_wal_size: "256MB", // bounds the recovery after a crash to a few seconds
    log_min_messages: "log", // failed statements are for the client that sent them, and may hold private data
    log_checkpoints: "off",
    ...parameters,
  };
  const args = ["-D", asSeenFromInside(cluster, account), "-c", marker(cluster)];
  for (const [name, value] of Object.entries(settings)) args.push("-c", `${name}=${value}`);

  const logPath = join(dataDir, "postgres.log");
  const logFile = await openLog(logPath);
  const watchdog = spawn("/bin/sh", ["-c", WATCHDOG, "latchkey-watchdog", sockets, binaries.postgres, ...args], {
    ...account,
    cwd: cluster,
    env: childEnvironment,
    detached: true, // Ctrl-C is for us: Postgres must stay while we answer the last requests
    stdio: ["pipe", logFile.fd, logFile.fd, postgresLock.fd],
  });
  await once(watchdog, "spawn");
  const group = -(watchdog.pid as number); // the watchdog and the postmaster, whose children leave the group
  watchdog.stdin?.on("error", () => undefined);
  let stopping = false;
  let ended = false;
  // If somebody killed the watchdog, its other half stops Postgres now, since Node closes the pipe on "exit".
  const exited = once(watchdog, "exit").then(async ([code, signal]): Promise<PostgresExit> => {
    ended = true;
    await removeFolder(sockets);
    for (const lock of locks) await lock.close();
    return { ...readStatus(code, signal), expected: stopping };
  });
  await logFile.close();
  await postgresLock.close(); // from now on only Postgres' processes have it

  const stop = async () => {
    stopping = true;
    for (const { signal, timeoutMs } of SHUTDOWNS) {
      if (!ended) sendSignal(group, signal);
      if (await poll(timeoutMs, async () => ended || undefined)) return void (await exited);
    }
    throw new EmbeddedPostgresError(`Postgres (process group ${-group}) does not end, not even when killed.`);
  };

  const connection = serviceConnection(sockets, PORT);
  let reason = "it did not become ready";
  const ready = await poll(START_TIMEOUT_MS, async () => {
    if (ended || cancelled?.aborted) return false;
    if (!(await readRecord(cluster)).includes("\nready")) return undefined;
    return prepareRoles(connection).then(
      () => true,
      (error: Error) => {
        reason = error.message;
        return undefined;
      },
    );
  });
  if (ready) return { connection, dataDirectory: cluster, exited, stop };
  const lastLines = (await readFile(logPath, "utf8")).trimEnd().split("\n").slice(-10).join("\n");
  await stop();
  cancelled?.throwIfAborted();
  throw new EmbeddedPostgresError(
    `Postgres did not start on ${cluster} (${reason}). It says: ${complaintOf(lastLines)}. More is in ${logPath}.`,
  );
}

/** Opens the log for appending; a large one is started afresh. */
async function openLog(path: string): Promise<FileHandle> {
  const file = await open(path, flags.O_WRONLY | flags.O_CREAT | flags.O_APPEND | flags.O_NOFOLLOW, 0o600);
  if ((await file.stat()).size > LARGEST_LOG_BYTES) await file.truncate();
  return file;
}

/** A shell says 128 + n when the command that it waited for was killed by signal n. */
function readStatus(code: number | null, signal: string | null): Omit<PostgresExit, "expected"> {
  if (code === null || code <= 128) return { code, signal };
  const [name] = Object.entries(constants.signals).find(([, number]) => number === code - 128) ?? [];
  return name ? { code: null, signal: name } : { code, signal };
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Asks again and again until there is an answer, or undefined after `timeoutMs`. */
async function poll<T>(
  timeoutMs: number,
  ask: () => Promise<T | undefined>,
  cancelled?: AbortSignal,
): Promise<T | undefined> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    cancelled?.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined || performance.now() > end) return answer;
    await sleep(20);
  }
}
