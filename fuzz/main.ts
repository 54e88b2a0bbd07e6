/** The entry point of `npm run fuzz`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "../src/database/embedded/postgres.ts";
import { superuser } from "../src/database/embedded/roles.ts";
import { type Arguments, readArguments, UsageError, usage } from "./arguments.ts";
import { type Api, readApi } from "./contract/operations.ts";
import { checkOutages } from "./outages.ts";
import { coverageLines, failureLines, statusLines, undetectableLines } from "./report.ts";
import { count, type FuzzResult, fuzz, mergeResults } from "./run.ts";
import { startFuzzedService } from "./service.ts";
import { deleteUsers, findInvalidRows } from "./storedRows.ts";

type Postgres = Awaited<ReturnType<typeof startEmbeddedPostgres>>;

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message} See npm run fuzz -- --help.`);
  return 64;
});

/** Returns the exit status. */
async function main(args: string[]): Promise<number> {
  const settings = readArguments(args);
  if (!settings) {
    process.stdout.write(usage);
    return 0;
  }
  const api = readApi(settings.contract);
  const startedMs = performance.now();
  const { result, invalidRows } =
    settings.url === undefined
      ? await withPostgres((postgres) => fuzzOwnService(api, settings, postgres))
      : { result: await fuzz({ ...optionsOf(api, settings), url: settings.url }), invalidRows: [] };
  report({ api, settings, result, seconds: (performance.now() - startedMs) / 1000 });
  for (const row of invalidRows.slice(0, 20)) console.error(`invalid row: ${row}`);
  return result.failure || invalidRows.length > 0 ? 1 : 0;
}

async function withPostgres<T>(use: (postgres: Postgres) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), "latchkey-fuzz-"));
  const parameters = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
  const postgres = await startEmbeddedPostgres({ dataDir, parameters });
  try {
    return await use(postgres);
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** Checks the promises, then sends random requests, checks the rows that they left, and takes the database away. */
async function fuzzOwnService(
  api: Api,
  settings: Arguments,
  { connection }: Postgres,
): Promise<{ result: FuzzResult; invalidRows: string[] }> {
  const { host, port, user, database } = connection;
  const databaseUrl = `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`;
  const service = await startFuzzedService(databaseUrl);
  try {
    const options = { ...optionsOf(api, settings), ...service };
    const checked = await fuzz({ ...options, requests: 0 });
    if (checked.failure) return { result: checked, invalidRows: await findInvalidRows(databaseUrl, undefined) };
    await deleteUsers(databaseUrl);
    const sent = await fuzz({ ...options, promises: [] });
    const invalidRows = await findInvalidRows(databaseUrl, sent.failure ? undefined : sent.users);
    const result = mergeResults(checked, sent);
    if (!result.failure && isCompleteRun(settings)) {
      const administrator = { ...connection, user: superuser, database: "postgres" };
      const failure = await checkOutages({
        api,
        database: { databaseUrl, administrator },
        start: (others) => startFuzzedService(databaseUrl, others),
        observed: (operation, status) => count(result.statuses, operation, status),
      });
      if (failure) result.failure = { ...failure, seed: settings.seed, path: "" };
    }
    return { result, invalidRows };
  } finally {
    await service.close();
  }
}

function isCompleteRun({ promises, path }: Arguments): boolean {
  return promises === undefined && path === undefined;
}

function optionsOf(api: Api, { requests, seed, path, promises, admin }: Arguments) {
  return {
    api,
    requests,
    seed,
    path,
    ...(promises && { promises }),
    ...(admin && { details: { administrator: admin } }),
  };
}

function report({
  api,
  settings,
  result,
  seconds,
}: {
  api: Api;
  settings: Arguments;
  result: FuzzResult;
  seconds: number;
}): void {
  for (const line of statusLines(result)) console.info(line);
  if (isCompleteRun(settings)) {
    for (const line of undetectableLines()) console.info(line);
    for (const line of coverageLines(api, result, settings.url === undefined)) console.info(line);
  }
  for (const [promise, reason] of result.unchecked) console.info(`not checked: ${promise}: ${reason}`);
  console.info(`${result.requests} requests in ${seconds.toFixed(1)} s, starting with seed ${settings.seed}`);
  if (result.failure) console.error(failureLines(result.failure).join("\n"));
}
