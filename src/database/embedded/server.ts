/** Starts the Postgres server on a database cluster, and stops it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, constants as flags, open, readFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { EmbeddedPostgresError } from "./binaries.ts";
import type { Cluster } from "./cluster.ts";
import { childEnvironment, poll, sendSignal } from "./commands.ts";
import { lastError, makeSocketFolder, pathFromInside, removeFolder } from "./dataDirectory.ts";
import { marker, readPidFile, shutdowns } from "./postmaster.ts";
import { type EmbeddedConnection, prepareRoles, serviceConnection, socketPort } from "./roles.ts";

export type EmbeddedPostgres = {
  /** The options of `pg` for a connection as the database owner, without a password. `host` is the folder of the Unix socket. */
  connection: EmbeddedConnection;
  /** The real path of the database cluster. */
  dataDirectory: string;
  /** Resolves when Postgres has ended and its locks and socket folder are released. Never rejects. */
  exited: Promise<PostgresExit>;
  /**
   * Stops Postgres and waits until all of its processes have ended: usually less than 100 ms, at most 20 s. Open connections are
   * closed, and uncommitted transactions are rolled back. It can be called again, and after Postgres has ended.
   */
  stop(): Promise<void>;
};

/** How Postgres ended; `expected` if `stop` was called. */
export type PostgresExit = { code: number | null; signal: string | null; expected: boolean };

const startTimeoutMs = 30_000;
const maxLogBytes = 5 * 1024 * 1024;

/**
 * The parent process of Postgres, a shell script. It ends when Postgres ends, with the same exit status. Its standard input is a
 * pipe from Node, which closes when Node ends, in whatever way. Then the script stops Postgres. It ignores the signals that a
 * terminal or systemd sends to the whole process group, so that it does not end before Postgres.
 *
 * Arguments: the socket folder to remove at the end, then the command.
 */
const watchdogScript = `
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
 * Starts Postgres and waits until it accepts connections.
 * @param options.parameters further settings of Postgres, which override ours
 * @param options.locks closed when Postgres has ended
 * @param options.postgresLock inherited by the processes of Postgres
 * @throws {EmbeddedPostgresError}
 */
export async function startServer(
  cluster: Cluster,
  options: {
    parameters: Record<string, string>;
    locks: FileHandle[];
    postgresLock: FileHandle;
    cancelled: AbortSignal | undefined;
  },
): Promise<EmbeddedPostgres> {
  const { dataDir, path, account } = cluster;
  const { locks, postgresLock, cancelled } = options;
  const sockets = await makeSocketFolder(dataDir, account);
  const logPath = join(dataDir, "postgres.log");
  const logFile = await openLog(logPath);
  const command = [cluster.binaries.postgres, ...serverArguments(cluster, sockets, options.parameters)];
  const watchdog = spawn("/bin/sh", ["-c", watchdogScript, "latchkey-watchdog", sockets, ...command], {
    ...account,
    cwd: path,
    env: childEnvironment,
    detached: true, // Ctrl-C must not reach Postgres, which is needed while the last requests are served
    stdio: ["pipe", logFile.fd, logFile.fd, postgresLock.fd],
  });
  await once(watchdog, "spawn");
  const processGroup = -(watchdog.pid as number); // the watchdog and the postmaster, whose children leave the group
  watchdog.stdin?.on("error", () => undefined);
  let isStopping = false;
  let hasEnded = false;
  // If the watchdog was killed, its second half stops Postgres now: Node closes the pipe on "exit".
  const exited = once(watchdog, "exit").then(async ([code, signal]): Promise<PostgresExit> => {
    hasEnded = true;
    await removeFolder(sockets);
    for (const lock of locks) await lock.close();
    return { ...exitOf(code, signal), expected: isStopping };
  });
  await logFile.close();
  await postgresLock.close(); // now only the processes of Postgres hold it

  const stop = async () => {
    isStopping = true;
    for (const { signal, timeoutMs } of shutdowns) {
      if (!hasEnded) sendSignal(processGroup, signal);
      if (await poll(timeoutMs, async () => hasEnded || undefined)) return void (await exited);
    }
    throw new EmbeddedPostgresError(`Postgres (process group ${-processGroup}) does not end, not even when killed.`);
  };

  const connection = serviceConnection(sockets, socketPort);
  let reason = "it did not become ready";
  const isReady = await poll(startTimeoutMs, async () => {
    if (hasEnded || cancelled?.aborted) return false;
    if (!(await readPidFile(path)).includes("\nready")) return undefined;
    return prepareRoles(connection).then(
      () => true,
      (error: Error) => {
        reason = error.message;
        return undefined;
      },
    );
  });
  if (isReady) return { connection, dataDirectory: path, exited, stop };
  const lastLines = (await readFile(logPath, "utf8")).trimEnd().split("\n").slice(-10).join("\n");
  await stop();
  cancelled?.throwIfAborted();
  throw new EmbeddedPostgresError(
    `Postgres did not start on ${path} (${reason}). It says: ${lastError(lastLines)}. More is in ${logPath}.`,
  );
}

function serverArguments({ path, account }: Cluster, sockets: string, parameters: Record<string, string>): string[] {
  const settings = {
    listen_addresses: "",
    unix_socket_directories: `"${sockets.replaceAll('"', '""')}"`,
    unix_socket_permissions: "0700",
    port: String(socketPort),
    shared_buffers: "128MB",
    max_wal_size: "256MB", // limits the recovery after a crash to a few seconds
    log_min_messages: "log", // no failed statements: the client gets the error, and they may contain private data
    log_checkpoints: "off",
    ...parameters,
  };
  const args = ["-D", pathFromInside(path, account), "-c", marker(path)];
  for (const [name, value] of Object.entries(settings)) args.push("-c", `${name}=${value}`);
  return args;
}

/** Opens the log for appending, and empties it if it is large. */
async function openLog(path: string): Promise<FileHandle> {
  const file = await open(path, flags.O_WRONLY | flags.O_CREAT | flags.O_APPEND | flags.O_NOFOLLOW, 0o600);
  if ((await file.stat()).size > maxLogBytes) await file.truncate();
  return file;
}

/** A shell exits with 128 + n if signal n killed the command. */
function exitOf(code: number | null, signal: string | null): Omit<PostgresExit, "expected"> {
  if (code === null || code <= 128) return { code, signal };
  const [name] = Object.entries(constants.signals).find(([, number]) => number === code - 128) ?? [];
  return name ? { code: null, signal: name } : { code, signal };
}
