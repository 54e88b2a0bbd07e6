/** A durable Postgres for one test, which the test can freeze and crash. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/database/embedded/postgres.ts";
import { superuser } from "../../src/database/embedded/roles.ts";
import { afterTest } from "./afterTest.ts";
import { freeze, thaw } from "./frozenProcesses.ts";
import { query, urlOf } from "./service.ts";

export type BreakablePostgres = {
  connection: EmbeddedPostgres["connection"];
  /** Connects as the superuser. */
  administrator: EmbeddedPostgres["connection"];
  url: string;
  /** Stops all its processes: it accepts connections and does not respond. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Shuts it down. */
  stop(): Promise<void>;
  /** Ends it immediately, without a checkpoint, as a power failure does. */
  crash(): Promise<void>;
  /** Starts it again with the same data and address. */
  start(): Promise<void>;
  /** Starts it again as a standby without a primary, until `promote`. */
  startAsStandby(): Promise<void>;
  promote(): Promise<void>;
};

/** Starts a Postgres, and stops it after the test. */
export async function startBreakablePostgres(parameters: Record<string, string> = {}): Promise<BreakablePostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "latchkey-fault-"));
  // If root runs the tests, Postgres has another user, whose socket would move if the folder were private.
  await chmod(dataDir, 0o755);
  let postgres = await startEmbeddedPostgres({ dataDir, parameters });
  let frozen: number[] = [];
  const thawAll = () => thaw(frozen.splice(0));
  const postmaster = async () =>
    Number.parseInt(await readFile(join(postgres.dataDirectory, "postmaster.pid"), "utf8"), 10);
  const start = async () => {
    postgres = await startEmbeddedPostgres({ dataDir, parameters });
  };
  afterTest(async () => {
    thawAll();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  return {
    connection: postgres.connection,
    administrator: { ...postgres.connection, user: superuser },
    url: urlOf(postgres.connection),
    async freeze() {
      frozen = await freeze(await postmaster());
    },
    thaw: thawAll,
    stop: () => postgres.stop(),
    async crash() {
      process.kill(await postmaster(), "SIGQUIT");
      await postgres.exited;
    },
    start,
    async startAsStandby() {
      await writeFile(join(postgres.dataDirectory, "standby.signal"), "");
      await start();
    },
    async promote() {
      await query({ ...postgres.connection, user: superuser }, "SELECT pg_promote()");
    },
  };
}
