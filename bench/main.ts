/**
 * `npm run bench`: Latchkey beside its peers and its ceilings, in one run. `--quick` takes two minutes; `--save` keeps
 * the figures and the chart in bench/results/. Results are ratios taken side by side: machines are noisy, and differ.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startEmbeddedPostgres } from "../src/database/embedded.ts";
import { chart } from "./chart.ts";
import { contenders, startLatchkey } from "./contenders.ts";
import { createDatabase, fill } from "./databases.ts";
import { bareArgon2, type Measured, measure } from "./load.ts";
import { refreshStatements } from "./pgbench.ts";
import { runToEnd, type Server } from "./processes.ts";
import { type Figures, report, type Sample } from "./report.ts";

const { values: given } = parseArgs({ options: { quick: { type: "boolean" }, save: { type: "boolean" } } });
const rounds = given.quick ? 2 : 5;
const seconds = given.quick ? 1 : 3;
/** A million takes minutes to fill in. */
const many = given.quick ? 20_000 : 1_000_000;

/** V8 gives back what a start took after some seconds without work. */
const idleMs = 20_000;

const dataDir = await mkdtemp(join(tmpdir(), "latchkey-bench-"));
const postgres = await startEmbeddedPostgres({
  dataDir,
  parameters: { max_connections: "200", shared_buffers: "512MB" },
});
const running: Server[] = [];
const figures: Figures = { samples: [], starts: [], machine: machine(), rounds, seconds, many };
try {
  const nodes = [process.execPath, join(import.meta.dirname, "node_modules/node/bin/node")];
  for (const node of nodes) {
    await alone(node);
    await sideBySide(node);
  }
  await growth();
} finally {
  await stopAll();
  await postgres.stop();
  await rm(dataDir, { recursive: true, force: true });
}

const { text, passed } = report(figures);
console.info(text);
const folder = given.save ? "bench/results" : "build";
await mkdir(folder, { recursive: true });
await writeFile(join(folder, "bench.json"), `${JSON.stringify(figures, undefined, 2)}\n`);
if (given.save) {
  await writeFile(join(folder, "bench.md"), text);
  await writeFile(join(folder, "bench.svg"), chart(figures));
}
console.info(`\nThe figures are in ${folder}/bench.json.`);
process.exit(passed ? 0 : 1);

/** Latchkey by itself: how soon it serves, and what it has resident once it has had nothing to do for a while. */
async function alone(node: string): Promise<void> {
  const version = await versionOf(node);
  const databaseUrl = await createDatabase(postgres.connection);
  const first = await startLatchkey(node, databaseUrl); // which migrates
  await first.stop();
  for (let round = 0; round < rounds; round += 1) {
    const server = await startLatchkey(node, databaseUrl);
    running.push(server);
    if (round === 0) await sleep(idleMs);
    figures.starts.push({
      node: version,
      ms: server.startMs,
      idleMiB: round === 0 ? server.memoryMiB().now : undefined,
    });
    await stopAll();
  }
}

/** Everybody, with one kind of Node. */
async function sideBySide(node: string): Promise<void> {
  const version = await versionOf(node);
  console.info(`Node ${version}: starting everybody`);
  const all = [];
  for (const contender of contenders) {
    const server = await contender.start(node, await createDatabase(postgres.connection));
    running.push(server);
    all.push({ name: contender.name, server, loads: await contender.loads(server.url) });
  }
  const works = [...new Set(all.flatMap(({ loads }) => Object.keys(loads)))];
  for (let round = 0; round <= rounds; round += 1) {
    for (const work of works) {
      for (const { name, server, loads } of all) {
        const load = loads[work];
        if (load)
          await take({ node: version, work, contender: name }, server, round, () =>
            measure(server.url, load, load.connections, seconds),
          );
      }
      const ceiling = {
        "sign-in": () => bareArgon2(node, seconds),
        refresh: () => refreshStatements(postgres.connection, seconds),
      }[work];
      if (ceiling)
        await take(
          { node: version, work, contender: work === "refresh" ? "pgbench" : "bare argon2" },
          undefined,
          round,
          ceiling,
        );
    }
    console.info(`  round ${round} of ${rounds}${round === 0 ? " (to warm up)" : ""}`);
  }
  await stopAll();
}

/** One service with little in its database, beside one with much, and beside those with revocations. */
async function growth(): Promise<void> {
  console.info(`growth: filling in up to ${many} users, sessions and revocations`);
  const kinds = [
    { name: "a thousand users and sessions", users: 1_000, revocations: 1 },
    { name: `${many} users and sessions`, users: many, revocations: 1 },
    { name: "100 revocations", users: 1_000, revocations: 100 },
    { name: `${many} revocations`, users: 1_000, revocations: many },
  ];
  const all = [];
  for (const { name, ...size } of kinds) {
    const database = await createDatabase(postgres.connection);
    await fill(database, size);
    const server = await startLatchkey(process.execPath, database);
    running.push(server);
    all.push({ name, server, loads: await contenders.find(({ isLatchkey }) => isLatchkey)?.loads(server.url) });
  }
  for (let round = 0; round <= rounds; round += 1) {
    for (const work of ["bearer", "sign-in", "refresh", "registration"]) {
      for (const { name, server, loads } of all) {
        const load = loads?.[work];
        if (load)
          await take({ node: "growth", work, contender: name }, server, round, () =>
            measure(server.url, load, load.connections, seconds),
          );
      }
    }
    console.info(`  round ${round} of ${rounds}`);
  }
  await stopAll();
}

/** The first round only warms up. */
async function take(
  what: Pick<Sample, "node" | "work" | "contender">,
  server: Server | undefined,
  round: number,
  measureOnce: () => Promise<Measured>,
): Promise<void> {
  const before = server?.cpuMicroseconds() ?? 0;
  const measured = await measureOnce();
  if (round === 0) return;
  const cpu = server && (server.cpuMicroseconds() - before) / measured.requests;
  figures.samples.push({ ...what, ...measured, cpuMicroseconds: cpu, peakMiB: server?.memoryMiB().peak });
}

async function versionOf(node: string): Promise<string> {
  return (await runToEnd([node, "--version"], 10_000)).trim();
}

async function stopAll(): Promise<void> {
  await Promise.all(running.splice(0).map((server) => server.stop()));
}

function machine(): string {
  const [first] = cpus();
  return `${cpus().length} × ${first?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}`;
}
