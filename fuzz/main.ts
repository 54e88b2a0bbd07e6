/** The command line: `npm run fuzz -- --help`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "../src/database/embedded/postgres.ts";
import { superuser } from "../src/database/embedded/roles.ts";
import { type Arguments, readArguments, UsageError, usage } from "./arguments.ts";
import { readApi } from "./contract/operations.ts";
import { checkOutages } from "./outages.ts";
import { coverageOf, undetectableLines } from "./report.ts";
import { count, type FuzzResult, fuzz, mergeResults, tableOf } from "./run.ts";
import { startFuzzedService } from "./service.ts";
import { deleteUsers, findInvalidRows } from "./storedRows.ts";

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message} See npm run fuzz -- --help.`);
  return 64;
});

/** @returns the exit status */
async function main(args: string[]): Promise<number> {
  const given = readArguments(args);
  if (!given) {
    process.stdout.write(usage);
    return 0;
  }
  const isWrong = given.url === undefined ? await fuzzOwnService(given) : await fuzzAt(given, given.url);
  return isWrong ? 1 : 0;
}

/** A service that runs already: what it has stored is not looked at. */
async function fuzzAt(given: Arguments, url: string): Promise<boolean> {
  const began = performance.now();
  const fuzzed = await fuzz({ ...settingsOf(given), url });
  report(given, fuzzed, began);
  return fuzzed.failure !== undefined;
}

async function fuzzOwnService(given: Arguments): Promise<boolean> {
  const began = performance.now();
  const dataDir = await mkdtemp(join(tmpdir(), "latchkey-fuzz-"));
  const postgres = await startEmbeddedPostgres({
    dataDir,
    parameters: { fsync: "off", synchronous_commit: "off", full_page_writes: "off" },
  });
  try {
    const { host, port, user, database } = postgres.connection;
    const databaseUrl = `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`;
    const service = await startFuzzedService(databaseUrl);
    try {
      const settings = { ...settingsOf(given), ...service };
      const kept = await fuzz({ ...settings, requests: 0 });
      await deleteUsers(databaseUrl);
      const sent = kept.failure ? kept : await fuzz({ ...settings, promises: [] });
      const rows = await findInvalidRows(databaseUrl, sent.failure ? undefined : sent.users);
      const fuzzed = kept.failure ? kept : mergeResults(kept, sent);
      const isComplete = !fuzzed.failure && given.promises === undefined;
      if (isComplete && given.path === undefined) {
        const administrator = { ...postgres.connection, user: superuser, database: "postgres" };
        const start = (others: Record<string, string>) => startFuzzedService(databaseUrl, others);
        const seen = (operation: string, status: number) => count(fuzzed.statuses, operation, status);
        const failure = await checkOutages({
          api: apiOf(given),
          database: { databaseUrl, administrator },
          start,
          seen,
        });
        if (failure) fuzzed.failure = { ...failure, seed: given.seed, path: "" };
      }
      report(given, fuzzed, began);
      for (const row of rows.slice(0, 20)) console.error(`stored: ${row}`);
      return fuzzed.failure !== undefined || rows.length > 0;
    } finally {
      await service.close();
    }
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function apiOf({ contract }: Arguments) {
  return readApi(contract);
}

function settingsOf(given: Arguments) {
  const { requests, seed, path, promises } = given;
  return { api: apiOf(given), requests, seed, path, ...(promises && { promises }) };
}

function report(given: Arguments, fuzzed: FuzzResult, began: number): void {
  for (const line of tableOf(fuzzed)) console.info(line);
  const isWhole = given.promises === undefined && given.path === undefined;
  const unseen = isWhole ? [...undetectableLines(), ...coverageOf(apiOf(given), fuzzed, given.url === undefined)] : [];
  for (const line of unseen) console.info(line);
  for (const [promise, reason] of fuzzed.unchecked) console.info(`not checked: ${promise}: ${reason}`);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.info(`${fuzzed.requests} requests in ${seconds} s, from seed ${given.seed} on`);
  if (!fuzzed.failure) return;
  const { what, curl, seed, path, promise } = fuzzed.failure;
  const again = promise !== undefined ? `--promise ${promise}` : `--seed ${seed}${path && ` --path ${path}`}`;
  console.error(`\n${what}\n\n${curl.join("\n")}\n\nAgain: npm run fuzz -- ${again}`);
}
