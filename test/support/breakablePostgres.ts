/** A Postgres of the test's own, which it may freeze and crash, and with whose durability it was made for. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/database/embedded/postgres.ts";
import { superuser } from "../../src/database/embedded/roles.ts";
import { afterTest } from "./afterTest.ts";
import { query, urlOf } from "./service.ts";

export type BreakablePostgres = {
  connection: EmbeddedPostgres["connection"];
  /** As the superuser. */
  administrator: EmbeddedPostgres["connection"];
  url: string;
  /** It keeps its connections and takes new ones, and says nothing any more. */
  freeze(): Promise<void>;
  thaw(): void;
  /** It ends as it should. */
  stop(): Promise<void>;
  /** It ends at once, without a checkpoint, as when its machine fails. */
  crash(): Promise<void>;
  /** Starts it again, on the same data and at the same place. */
  start(): Promise<void>;
  /** Starts it again as a standby that follows nobody, until `promote`: its data stay as they are. */
  startAsStandby(): Promise<void>;
  promote(): Promise<void>;
};

/** Starts it, and stops it after the test. */
export async function startBreakablePostgres(parameters: Record<string, string> = {}): Promise<BreakablePostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "latchkey-fault-"));
  // Run by root, Postgres is another user; behind a private folder its socket would move at each start.
  await chmod(dataDir, 0o755);
  let postgres = await startEmbeddedPostgres({ dataDir, parameters });
  let frozen: number[] = [];
  const signal = (pids: number[], name: NodeJS.Signals) => {
    for (const pid of pids) process.kill(pid, name);
  };
  const thaw = () => signal(frozen.splice(0), "SIGCONT");
  const postmaster = async () =>
    Number.parseInt(await readFile(join(postgres.dataDirectory, "postmaster.pid"), "utf8"), 10);
  const start = async () => {
    postgres = await startEmbeddedPostgres({ dataDir, parameters });
  };
  afterTest(async () => {
    thaw();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  return {
    connection: postgres.connection,
    administrator: { ...postgres.connection, user: superuser },
    url: urlOf(postgres.connection),
    async freeze() {
      // The postmaster first: from then on there are no new ones.
      const pid = await postmaster();
      signal([pid], "SIGSTOP");
      frozen = [pid];
      const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").map(Number);
      signal(children, "SIGSTOP");
      frozen.push(...children);
    },
    thaw,
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
