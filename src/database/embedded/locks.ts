/**
 * The locks of a data directory. Both are flock(2) locks, which the kernel releases when their holders end, in whatever way.
 * Process ids are not reliable: they are reused, and in a container they are always 1.
 *
 * - If another process holds service.lock, another service runs, and we refuse to start.
 * - If we hold service.lock and postgres.lock is taken, an earlier service left its Postgres running, and we stop it. Every
 *   process of Postgres inherits the open file, so that all have ended when we get the lock.
 */
import { type FileHandle, constants as flags, open, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { EmbeddedPostgresError } from "./binaries.ts";
import { poll, run, sendSignal } from "./commands.ts";
import { findPostmaster, shutdowns } from "./postmaster.ts";

/** Waits for a second, because another service may be about to end. @throws {EmbeddedPostgresError} if it does not */
export async function lockForService(dataDir: string, cancelled?: AbortSignal): Promise<FileHandle> {
  const path = join(dataDir, "service.lock");
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

/** Stops a Postgres that an earlier service left running. @throws {EmbeddedPostgresError} if it does not stop */
export async function lockForPostgres(
  dataDir: string,
  log: (message: string) => void,
  cancelled?: AbortSignal,
): Promise<FileHandle> {
  const path = join(dataDir, "postgres.lock");
  let lock = await takeLock(path);
  for (const { signal, timeoutMs } of shutdowns) {
    if (lock) break;
    const orphan = await findPostmaster(join(dataDir, "postgres"));
    log(`Waiting for the Postgres${orphan ? ` (process ${orphan})` : ""} that an earlier Latchkey left behind.`);
    if (orphan) sendSignal(orphan, signal);
    lock = await poll(timeoutMs, () => takeLock(path), cancelled);
  }
  if (lock) return lock;
  throw new EmbeddedPostgresError(
    `The data directory ${dataDir} is in use by a Postgres of an earlier Latchkey that does not stop. End its processes.`,
  );
}

/**
 * Opens a file, creates it if necessary, and locks it. The lock is released when the handle is closed here and in every process
 * that inherited it.
 * @returns `undefined` if another process holds the lock
 */
async function takeLock(path: string): Promise<FileHandle | undefined> {
  // O_NOFOLLOW, because we may be root and the folder may belong to another account.
  const mode = flags.O_RDWR | flags.O_CREAT | flags.O_NOFOLLOW;
  if (process.platform === "darwin") {
    const O_EXLOCK = 0x20; // open(2) of macOS locks by itself; Node does not name the flag
    try {
      return await open(path, mode | flags.O_NONBLOCK | O_EXLOCK, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
      throw error;
    }
  }
  const handle = await open(path, mode, 0o600);
  // Node cannot call flock(2). The program flock locks the open file that it inherits from us, and we keep the lock.
  const { code, output } = await run("flock", ["-n", "3"], { handles: [handle.fd] });
  if (code === 0) return handle;
  await handle.close();
  if (code === 1) return undefined;
  throw new EmbeddedPostgresError(
    `Cannot lock ${path}, which needs the program "flock" of util-linux: ${output.trim()}`,
  );
}
