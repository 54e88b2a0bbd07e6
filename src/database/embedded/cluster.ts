/** The database cluster, which is the folder of Postgres' data: checks it, and creates it. */
import { type FileHandle, open, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { accountName } from "./accountName.ts";
import { type Binaries, EmbeddedPostgresError } from "./binaries.ts";
import { type Account, run } from "./commands.ts";
import { isRoot, lastError, makePrivateFolder, pathFromInside, removeFolder } from "./dataDirectory.ts";
import { superuser } from "./roles.ts";

export type Cluster = {
  dataDir: string;
  /** The folder of the cluster. */
  path: string;
  /** Absent if Postgres runs as our own account. */
  account: Account | undefined;
  binaries: Binaries;
};

/**
 * The account for Postgres if we are root, because Postgres refuses to run as root. It is the owner of the cluster, or `nobody`
 * for a new cluster.
 * @returns `undefined` unless we are root
 */
export async function accountForPostgres(path: string): Promise<Account | undefined> {
  if (!isRoot()) return undefined;
  const owner = await stat(path).catch(() => undefined);
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = await readFile("/etc/passwd", "utf8").catch(() => "");
  const [, uid = "65534", gid = "65534"] = /^nobody:[^:]*:(-?\d+):(-?\d+):/m.exec(accounts) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** @throws {EmbeddedPostgresError} if another major version created it, or the folder is no cluster */
export async function clusterExists({ path, binaries }: Cluster): Promise<boolean> {
  const version = await readFile(join(path, "PG_VERSION"), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (version?.trim() === binaries.majorVersion) return true;
  if (version) {
    throw new EmbeddedPostgresError(
      `The data in ${path} were made by Postgres ${version.trim()}, but this Latchkey brings Postgres ` +
        `${binaries.majorVersion}. Dump them with the Latchkey that made them, or set DATABASE_URL.`,
    );
  }
  if (!(await stat(path).catch(() => undefined))) return false;
  throw new EmbeddedPostgresError(`${path} is in the way: it is not a database cluster of Postgres.`);
}

/**
 * Runs a program in a user namespace in which our account is `nobody`. Only initdb requires an entry in /etc/passwd, which the
 * uid of a container may not have. Some systems do not permit user namespaces.
 */
const asNobody = ["unshare", "--user", "--map-user=65534", "--map-group=65534"];

/**
 * Creates the cluster under a temporary name, then renames it, so that a cluster with the final name is complete. If it is
 * cancelled, no cluster is left, or a complete one.
 * @param postgresLock inherited by the processes of Postgres
 * @throws {EmbeddedPostgresError}
 */
export async function createCluster(
  { dataDir, path, account, binaries }: Cluster,
  postgresLock: FileHandle,
  cancelled?: AbortSignal,
): Promise<void> {
  const draft = `${path}.new`;
  await makePrivateFolder(draft, account);
  const target = pathFromInside(draft, account);
  const args = ["-D", target, `--username=${superuser}`, "--locale=C", "--encoding=UTF8", "-A", "trust"];
  const options = { account, cwd: draft, handles: [postgresLock.fd], cancelled };
  const [program, ...rest] = [...(accountName() ? [] : asNobody), binaries.initdb, ...args] as [string, ...string[]];
  const { code, output } = await run(program, rest, options);
  if (code !== 0) {
    await removeFolder(draft);
    cancelled?.throwIfAborted();
    const reason = accountName()
      ? ""
      : ` The user ${process.getuid?.()} has no entry in /etc/passwd, which initdb needs.`;
    throw new EmbeddedPostgresError(
      `Postgres could not make a database in ${path}: ${lastError(output)}.${reason} ` +
        "Choose another DATA_DIR or user, or set DATABASE_URL to use a Postgres of your own.",
    );
  }
  await rename(draft, path);
  const folder = await open(dataDir);
  await folder.sync(); // makes the new name durable; initdb has synced the contents
  await folder.close();
  cancelled?.throwIfAborted(); // initdb had done its work when the signal arrived
}
