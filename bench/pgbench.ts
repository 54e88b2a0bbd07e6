/** The ceiling of refreshes: the statement of a refresh, and nothing else, run by pgbench. */
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rotateSession } from "../src/sessions/store.ts";
import { idOf, type Postgres } from "./database.ts";
import type { LoadResult } from "./load/protocol.ts";
import { runProgram } from "./processes.ts";
import { connectionsOf } from "./workloads.ts";

const sessions = 10_000;

/**
 * Fills a database for pgbench.
 * @returns a function that refreshes for so many seconds; `undefined` if pgbench is not installed
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
    console.log("pgbench is not installed (Debian: postgresql-contrib): refreshes are not compared with it.\n");
    return undefined;
  }
  await postgres.createFilled(database, { users: sessions, revocations: 1 });
  const script = join(import.meta.dirname, "dist", "refresh.sql");
  await writeFile(script, refreshScript());
  const clients = String(connectionsOf("refresh"));
  // Statements are prepared and planned once per connection, as in Latchkey.
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
      // Excludes the time to connect, like the tps of pgbench.
      seconds: value(/^number of transactions actually processed: (\d+)/m) / value(/^tps = ([\d.]+)/m),
      p50Ms: Number.NaN,
      p99Ms: Number.NaN,
    };
  };
}

/** The statement of a refresh. Its values fit every session at any time, because the digest of a session stays the same. */
function refreshScript(): string {
  const digest = "sha256((:n)::text::bytea)";
  const values: Record<string, string> = {
    nextDigest: digest,
    digest,
    id: idOf(":n"),
    generation: "generation",
    address: "'192.0.2.1'",
    network: "'192.0.2.1'",
    idle: "1209600",
    tokens: "900",
  };
  const names = Object.keys(rotateSession.parameters);
  const statement = rotateSession.text.replaceAll(
    /\$(\d+)/g,
    (_, n: string) => values[names[Number(n) - 1] ?? ""] ?? "",
  );
  return [`\\set n random(0, ${sessions - 1})`, `${statement};`, ""].join("\n");
}
