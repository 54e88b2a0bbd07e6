/** A ceiling: the statements of a refresh, and nothing else, driven by Postgres' own pgbench. */
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Database } from "../src/database/database.ts";
import { sessionStore } from "../src/sessions/store.ts";
import { idOf, type Postgres } from "./database.ts";
import type { LoadResult } from "./load/protocol.ts";
import { runProgram } from "./processes.ts";
import { connectionsOf } from "./workloads.ts";

const sessions = 10_000;

/**
 * Fills a database for it.
 * @returns what does refreshes for so many seconds; nothing where there is no pgbench on this machine
 */
export async function pgbenchRefreshes(
  postgres: Postgres,
  database: string,
): Promise<((seconds: number) => Promise<LoadResult>) | undefined> {
  const versions = await readdir("/usr/lib/postgresql").catch(() => []);
  const program = ["/usr/bin/pgbench", ...versions.map((version) => `/usr/lib/postgresql/${version}/bin/pgbench`)].find(
    (path) => existsSync(path),
  );
  if (!program) {
    console.log(
      "There is no pgbench here (Debian: postgresql-client or postgresql-contrib), and so no ceiling of refreshes.\n",
    );
    return undefined;
  }
  await postgres.createFilled(database, { users: sessions, revocations: 1 });
  const script = join(import.meta.dirname, "dist", "refresh.sql");
  await writeFile(script, await refreshScript());
  const clients = String(connectionsOf("refresh"));
  // Statements are prepared once a connection, and planned once.
  const where = ["--host", postgres.host, "--username", postgres.user, "--no-vacuum", "--protocol", "prepared"];
  return async (seconds) => {
    const wholeSeconds = Math.max(1, Math.round(seconds));
    const output = await runProgram(
      program,
      [...where, "--client", clients, "--jobs", "2", "--time", String(wholeSeconds), "--file", script, database],
      wholeSeconds + 30,
    );
    const value = (pattern: RegExp) => Number(pattern.exec(output)?.[1]);
    return {
      answered: value(/^number of transactions actually processed: (\d+)/m),
      failed: value(/^number of failed transactions: (\d+)/m),
      // Without the time to connect, as its own figure is.
      seconds: value(/^number of transactions actually processed: (\d+)/m) / value(/^tps = ([\d.]+)/m),
      p50Ms: Number.NaN,
      p99Ms: Number.NaN,
    };
  };
}

/** The store's own SQL: its `:name` is pgbench's as well. Only where the values come from is written here. */
async function refreshScript(): Promise<string> {
  const statements: string[] = [];
  const raw = async (sql: string) => {
    statements.push(sql);
    return { rows: [] };
  };
  const record: Database["read"] = async (query) => query({ raw } as never);
  const store = sessionStore({ read: record, write: record } as Pick<Database, "read" | "write"> as Database);
  const nothing = Buffer.alloc(0);
  await store.find("", 0);
  await store.rotate(
    { id: "", generation: 0, digest: nothing, nextDigest: nothing, address: undefined, network: "" },
    { idleSeconds: 0, lifetimeSeconds: 0, graceSeconds: 0, sessionsPerUser: 1 },
    0,
  );
  const [find = "", rotate = ""] = statements.map((sql) =>
    sql.replaceAll(/:id\b/g, idOf(":n")).replaceAll(/:nextDigest\b/g, "sha256(:digest)"),
  );
  return [
    `\\set n random(0, ${sessions - 1})`,
    "\\set presented 0",
    "\\set address 1",
    "\\set network 1",
    "\\set idle 1209600",
    "\\set tokens 900",
    // What it finds becomes the variables of the next one.
    `${find} \\gset`,
    `${rotate};`,
    "",
  ].join("\n");
}
