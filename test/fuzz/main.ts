/** The command line: `npm run fuzz -- --seed N --path P --requests N --url URL --contract FILE`, all of them optional. */
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startEmbeddedPostgres } from "../../src/database/embedded.ts";
import { readApi } from "./operations.ts";
import { type Fuzzed, fuzz, tableOf } from "./run.ts";
import { startFuzzedService } from "./service.ts";
import { wrongRows } from "./stored.ts";

const { values: given } = parseArgs({
  options: {
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    path: { type: "string" },
    requests: { type: "string", default: "100000" },
    url: { type: "string" },
    contract: { type: "string", default: "openapi.yaml" },
  },
});
const { path } = given;
const [seed, requests] = [Number(given.seed), Number(given.requests)];
if (!Number.isSafeInteger(seed) || !(requests > 0)) throw new Error("--seed and --requests are whole numbers.");
const api = readApi(given.contract);
const began = performance.now();

const wrong = given.url === undefined ? await fuzzOwnService() : await fuzzAt(given.url.replace(/\/$/, ""));
process.exitCode = wrong ? 1 : 0;

/** A service that runs already: what it has stored is not looked at. */
async function fuzzAt(url: string): Promise<boolean> {
  const fuzzed = await fuzz({ api, url, requests, seed, path });
  report(fuzzed);
  return fuzzed.failure !== undefined;
}

async function fuzzOwnService(): Promise<boolean> {
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
      const fuzzed = await fuzz({ api, requests, seed, path, ...service });
      report(fuzzed);
      const rows = await wrongRows(databaseUrl, fuzzed.failure ? undefined : fuzzed.users);
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

function report(fuzzed: Fuzzed): void {
  for (const line of tableOf(fuzzed)) console.info(line);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.info(`${fuzzed.requests} requests in ${seconds} s, from seed ${seed} on`);
  if (!fuzzed.failure) return;
  const { what, curl, seed: failed, path } = fuzzed.failure;
  console.error(`\n${what}\n\n${curl.join("\n")}\n\nAgain: npm run fuzz -- --seed ${failed} --path ${path}`);
}
