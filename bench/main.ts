/** `npm run bench`: measures Latchkey beside other programs, on this machine, in one run. See bench/README.md. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chart } from "./chart.ts";
import { compare } from "./compare.ts";
import type { Bench, NodeVersion } from "./context.ts";
import { startPostgres } from "./database.ts";
import { measureDataVolume } from "./dataVolume.ts";
import { measureMachine } from "./machine.ts";
import { killAll } from "./processes.ts";
import type { Workload } from "./programs.ts";
import { showProgress } from "./progress.ts";
import { type BenchmarkReport, type Comparison, isBusy, number, table, targetTable } from "./report.ts";
import { measureStartup } from "./startup.ts";
import { targets } from "./targets.ts";
import { measureVerifier } from "./verifier.ts";

const workloads: Workload[] = [
  "check",
  "check-basic",
  "first-check",
  "sign-in",
  "refresh",
  "registration",
  "guarded-route",
  "introspection",
  "forward-auth",
  "client-token",
  "code-flow",
];
const parts = ["startup", ...workloads, "verifier", "data-volume"] as const;
type Part = (typeof parts)[number];

const help = `Usage: npm run bench -- [options]

Options:
  --quick        Two short rounds, and 100,000 rows instead of a million: about four minutes instead of forty.
  --only=PART    Measure one part: ${parts.join(", ")}. Can be repeated.
  --node=MAJOR   Measure on one version of Node only.
  --help         Show this text.
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    node: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  process.stdout.write(help);
  process.exit();
}
const unknown = options.only.find((part) => !(parts as readonly string[]).includes(part));
if (unknown !== undefined) {
  console.error(`There is no part ${unknown}. See --help.`);
  process.exit(1);
}
const isWanted = (part: Part) => options.only.length === 0 || options.only.includes(part);

const here = import.meta.dirname;
process.chdir(join(here, ".."));

/** A run that takes longer hangs. */
const timeoutMinutes = options.quick ? 10 : 90;

await build({
  entryPoints: [
    "programs/*.ts",
    ...["requests", "refreshes", "firstChecks", "codeFlows"].map((load) => `load/${load}.ts`),
  ].map((path) => join(here, path)),
  outdir: join(here, "dist"),
  outbase: here,
  bundle: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
});

const node24 = join(here, "node_modules/node/bin/node");
const versionOf = (binary: string) => execFileSync(binary, ["--version"], { encoding: "utf8" }).trim();
/** The Node that runs this program, and Node 24. */
const nodes: NodeVersion[] = [process.execPath, node24]
  .map((binary) => ({ binary, major: /\d+/.exec(versionOf(binary))?.[0] ?? "" }))
  .filter(({ major }, index, all) => all.findIndex((one) => one.major === major) === index)
  .filter(({ major }) => options.node === undefined || options.node === major);

/** What each Node measures: on the second one, a quick run has time only for what differs most between versions. */
const planned = nodes.map((node, index) => ({
  node,
  startup: isWanted("startup"),
  verifier: isWanted("verifier"),
  workloads: workloads.filter(
    (workload) =>
      isWanted(workload) && (!options.quick || options.only.length > 0 || index === 0 || workload === "check"),
  ),
}));
const volumeWorkloads: Workload[] = options.quick
  ? ["check", "refresh"]
  : ["check", "sign-in", "refresh", "registration"];
const steps =
  planned.reduce(
    (sum, one) => sum + Number(one.startup) + Number(one.verifier) + (one.workloads.length && one.workloads.length + 1),
    0,
  ) + (isWanted("data-volume") ? volumeWorkloads.length + 1 : 0);

const postgres = await startPostgres();
const progress = showProgress(steps);
let isStopping = false;
const stop = async (reason: string, status: number) => {
  if (isStopping) return;
  isStopping = true;
  console.error(`\n${reason}`);
  killAll();
  await postgres.stop();
  process.exit(status);
};
process.on("SIGINT", () => void stop("Interrupted.", 130)).on("SIGTERM", () => void stop("Terminated.", 143));
const timer = setTimeout(() => void stop(`Timed out after ${timeoutMinutes} minutes.`, 1), timeoutMinutes * 60_000);

const bench: Bench = {
  postgres,
  node24,
  progress,
  plan: options.quick
    ? { rounds: 2, secondsEach: 1, warmUpSeconds: 1 }
    : { rounds: 7, secondsEach: 3, warmUpSeconds: 4 },
  users: options.quick ? 8 : 50,
  sessions: options.quick ? 64 : 256,
  apiKeys: options.quick ? 60_000 : 400_000,
  million: options.quick ? 100_000 : 1_000_000,
};

const report: BenchmarkReport = {
  date: new Date().toISOString().slice(0, 10),
  quick: options.quick,
  machine: `${cpus().length} cores of ${cpus()[0]?.model}, ${number(totalmem() / 2 ** 30)} GiB`,
  otherPrograms: 0,
  stolen: 0,
  versions: {
    Postgres: postgres.version,
    Node: [process.execPath, node24].map(versionOf).join(" and "),
    ...dependenciesOf("package.json", ["express", "@node-rs/argon2", "pg"]),
    ...dependenciesOf("bench/package.json", [
      "autocannon",
      "better-auth",
      "express-jwt",
      "passport-http",
      "oidc-provider",
    ]),
  },
  comparisons: [],
  startups: [],
  verifiers: [],
};
const onResult = (comparison: Comparison) => {
  report.comparisons.push(comparison);
  progress.clear();
  console.log(table(comparison));
};
const machineLoad = measureMachine();
try {
  for (const { node, startup, verifier, workloads } of planned) {
    if (startup) report.startups.push(await measureStartup(bench, node));
    if (verifier) report.verifiers.push(await measureVerifier(bench, node));
    if (workloads.length > 0) await compare(bench, node, workloads, onResult);
  }
  if (nodes[0] && isWanted("data-volume")) await measureDataVolume(bench, nodes[0], volumeWorkloads, onResult);
} catch (error) {
  // After a stop, everything fails.
  await (isStopping ? new Promise(() => {}) : stop((error as Error).stack ?? "", 1));
}
Object.assign(report, machineLoad());
clearTimeout(timer);
killAll();
await postgres.stop();

progress.clear();
const percent = (fraction: number) => `${Math.round(fraction * 100)} %`;
console.log(
  `Meanwhile, other programs used ${percent(report.otherPrograms)} of the processors, and the hypervisor took ` +
    `${percent(report.stolen)}.${isBusy(report) ? " Absolute figures are therefore unclear if they miss a target." : ""}\n`,
);
console.log(targetTable(targets(report), isBusy(report)));
write("build");
// The committed figures are those of a full run.
if (!options.quick && options.only.length === 0 && options.node === undefined) write("bench/results");

function dependenciesOf(path: string, names: string[]): Record<string, string> {
  const { dependencies } = JSON.parse(readFileSync(path, "utf8")) as { dependencies: Record<string, string> };
  return Object.fromEntries(names.map((name) => [name, dependencies[name] ?? ""]));
}

function write(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "bench.json"), `${JSON.stringify({ ...report, targets: targets(report) }, null, 2)}\n`);
  writeFileSync(join(folder, "bench.svg"), chart(report));
}
