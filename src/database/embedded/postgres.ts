/**
 * The embedded Postgres: a server that this process runs if DATABASE_URL is not set. The data directory contains
 *
 *     postgres/        the database cluster (postgres.new/ while it is created)
 *     postgres.run/    the folder of the Unix socket, while Postgres runs; there is no TCP port
 *     postgres.log     the log of the server
 *     service.lock     locked by the one service that uses the data directory
 *     postgres.lock    locked by every process of Postgres
 */
import { type FileHandle, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import pg from "../pg.ts";
import { EmbeddedPostgresError, findBinaries } from "./binaries.ts";
import { accountForPostgres, type Cluster, clusterExists, createCluster } from "./cluster.ts";
import { explainSystemError, makeDataDirectory } from "./dataDirectory.ts";
import { lockForPostgres, lockForService } from "./locks.ts";
import { removeStalePidFile } from "./postmaster.ts";
import { type EmbeddedConnection, serviceConnection, socketPort } from "./roles.ts";
import { type EmbeddedPostgres, startServer } from "./server.ts";

export type { EmbeddedPostgres };
export { EmbeddedPostgresError };

/**
 * Starts the embedded Postgres, and creates its database cluster the first time. Committed data survives, even if an earlier run
 * crashed.
 * @param options.dataDir created if it is missing; relative to the working directory
 * @param options.parameters further settings of Postgres; they take precedence over ours
 * @param options.log receives messages for the operator; none in an ordinary start
 * @param options.cancelled cancels the start: it cleans up, then the promise is rejected
 * @throws {EmbeddedPostgresError} if the data directory is in use by another service (after at most 2 s), is not writable, or was
 *   created by another major version of Postgres; if there are no binaries for this machine; or if Postgres is not ready in 30 s
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  parameters?: Record<string, string>;
  log?: (message: string) => void;
  cancelled?: AbortSignal;
}): Promise<EmbeddedPostgres> {
  const { parameters = {}, log = () => undefined, cancelled } = options;
  const locks: FileHandle[] = [];
  try {
    const dataDir = await makeDataDirectory(resolve(options.dataDir));
    const path = join(dataDir, "postgres");
    locks.push(await lockForService(dataDir, cancelled));
    const account = await accountForPostgres(path);
    const cluster: Cluster = { dataDir, path, account, binaries: await findBinaries(account, log) };
    const postgresLock = await lockForPostgres(dataDir, log, cancelled);
    locks.push(postgresLock);
    if (!(await clusterExists(cluster))) {
      log(`Making a new database in ${path}.`);
      await createCluster(cluster, postgresLock, cancelled);
    }
    await removeStalePidFile(path);
    return await startServer(cluster, { parameters, locks, postgresLock, cancelled });
  } catch (error) {
    for (const lock of locks) await lock.close();
    throw explainSystemError(options.dataDir, error);
  }
}

/**
 * Finds the Postgres that another process runs on a data directory.
 * @returns `undefined` if none runs, or if it does not respond
 */
export async function findRunningPostgres(dataDir: string): Promise<EmbeddedConnection | undefined> {
  const record = await readFile(join(dataDir, "postgres", "postmaster.pid"), "utf8").catch(() => "");
  const host = record.split("\n")[4]; // the socket folder, as PostgreSQL documents postmaster.pid
  if (!host) return undefined;
  const connection = serviceConnection(host, socketPort);
  const client = new pg.Client({ ...connection, ssl: false, connectionTimeoutMillis: 1_000 });
  client.on("error", () => {});
  const isRunning = await client.connect().then(
    () => true,
    () => false,
  );
  await client.end();
  return isRunning ? connection : undefined;
}
