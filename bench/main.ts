/** `npm run bench`: Latchkey beside its peers and its ceilings, on this machine, in one run. See bench/README.md. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chart } from "./chart.ts";
import { compare } from "./compare.ts";
import type { Work } from "./contenders.ts";
import type { Bench, NodeVersion } from "./context.ts";
import { startPostgres } from "./database.ts";
import { measureGrowth } from "./dataVolume.ts";
import { endAll } from "./processes.ts";
import { number, type Report, type Series, table, verdicts } from "./report.ts";
import { measureStart } from "./start.ts";
import { targets } from "./targets.ts";

const { values: options } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const here = import.meta.dirname;
process.chdir(join(here, ".."));

/** Beyond this something hangs. */
const timeoutMinutes = options.quick ? 6 : 60;

await build({
  entryPoints: ["contenders/*.ts", "load/independent.ts", "load/refreshes.ts"].map((path) => join(here, path)),
  outdir: join(here, "dist"),
  outbase: here,
  bundle: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
});

const postgres = await startPostgres();
let isStopping = false;
const stop = async (reason: string, status: number) => {
  if (isStopping) return;
  isStopping = true;
  console.error(`\n${reason}`);
  endAll();
  await postgres.stop();
  process.exit(status);
};
process.on("SIGINT", () => void stop("Stopped.", 130)).on("SIGTERM", () => void stop("Stopped.", 143));
const bound = setTimeout(() => void stop(`Not done in ${timeoutMinutes} minutes.`, 1), timeoutMinutes * 60_000);

const bench: Bench = {
  postgres,
  node24: join(here, "node_modules/node/bin/node"),
  plan: options.quick
    ? { rounds: 2, secondsEach: 1, warmUpSeconds: 1 }
    : { rounds: 7, secondsEach: 3, warmUpSeconds: 4 },
  users: options.quick ? 8 : 50,
  sessions: options.quick ? 64 : 256,
  million: options.quick ? 100_000 : 1_000_000,
};
const versionOf = (binary: string) => execFileSync(binary, ["--version"], { encoding: "utf8" }).trim();
// That of the machine, and the newer one; perhaps they are the same.
const nodes: NodeVersion[] = [process.execPath, bench.node24]
  .map((binary) => ({ binary, major: /\d+/.exec(versionOf(binary))?.[0] ?? "" }))
  .filter(({ major }, index, all) => all.findIndex((one) => one.major === major) === index);

const report: Report = {
  date: new Date().toISOString().slice(0, 10),
  quick: options.quick,
  busy: (loadavg()[0] ?? 0) > cpus().length / 4,
  machine: `${cpus().length} cores of ${cpus()[0]?.model}, ${number(totalmem() / 2 ** 30)} GiB`,
  versions: {
    Postgres: postgres.version,
    Node: [process.execPath, bench.node24].map(versionOf).join(" and "),
    ...dependenciesOf("package.json", ["express", "@node-rs/argon2", "pg"]),
    ...dependenciesOf("bench/package.json", [
      "autocannon",
      "better-auth",
      "express-jwt",
      "passport-http",
      "oidc-provider",
    ]),
  },
  series: [],
  starts: [],
};
const tell = (series: Series) => {
  report.series.push(series);
  console.log(table(series));
};
const allWorks: Work[] = ["check", "check-basic", "sign-in", "refresh", "registration"];
try {
  for (const [index, node] of nodes.entries()) {
    report.starts.push(await measureStart(bench, node, options.quick ? 2 : 5));
    // In a hurry, the newer Node is looked at only for what it changes most.
    await compare(bench, node, options.quick && index > 0 ? ["check"] : allWorks, tell);
  }
  if (nodes[0]) {
    const growing: Work[] = options.quick ? ["check", "refresh"] : ["check", "sign-in", "refresh", "registration"];
    await measureGrowth(bench, nodes[0], growing, tell);
  }
} catch (error) {
  // Once stopped, everything fails.
  await (isStopping ? new Promise(() => {}) : stop((error as Error).stack ?? "", 1));
}
clearTimeout(bound);
endAll();
await postgres.stop();

console.log(verdicts(targets(report), report.busy));
write("build");
// What is committed, and stands in the README, is a run that took its time.
if (!options.quick) write("bench/results");

function dependenciesOf(path: string, names: string[]): Record<string, string> {
  const { dependencies } = JSON.parse(readFileSync(path, "utf8")) as { dependencies: Record<string, string> };
  return Object.fromEntries(names.map((name) => [name, dependencies[name] ?? ""]));
}

function write(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "bench.json"), `${JSON.stringify({ ...report, targets: targets(report) }, null, 2)}\n`);
  writeFileSync(join(folder, "bench.svg"), chart(report));
}
