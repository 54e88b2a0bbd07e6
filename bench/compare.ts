/** Compares Latchkey with other programs. */
import { type Bench, type NodeVersion, startLoad } from "./context.ts";
import { type Candidate, measure } from "./measure.ts";
import { pgbenchRefreshes } from "./pgbench.ts";
import { isInstalled, type Server, startServer, treeOf, type Worker } from "./processes.ts";
import { type Program, programs, type Workload } from "./programs.ts";
import type { Comparison } from "./report.ts";
import { prepare, register } from "./workloads.ts";

const initialRows = { users: 1_000, revocations: 1 };

/** Starts every program that takes part in a workload, and measures one workload after the other. */
export async function compare(
  bench: Bench,
  node: NodeVersion,
  workloads: Workload[],
  onResult: (comparison: Comparison) => void,
): Promise<void> {
  const names = Array.from({ length: bench.users }, (_, n) => `user${n}`);
  const started: { program: Program; server: Server }[] = [];
  bench.progress.step(`start the programs, Node ${node.major}`);
  const pgbench = workloads.includes("refresh")
    ? await pgbenchRefreshes(bench.postgres, `pgbench_${node.major}`)
    : undefined;
  try {
    for (const [index, program] of programs.entries()) {
      if (!program.workloads.some((workload) => workloads.includes(workload))) continue;
      bench.progress.detail(program.name);
      if (program.needsNginx && !isInstalled("nginx")) {
        console.log(`${program.name} is left out: nginx is not installed.\n`);
        continue;
      }
      const server = await start(bench, node, program, `program${index}_${node.major}`);
      if (program.needsWorkers && treeOf(server.pid).length < 3) {
        console.log(`${program.name} is left out: this build does not support WORKERS.\n`);
        await server.stop();
        continue;
      }
      started.push({ program, server });
      await register(program, server.url, names);
    }
    for (const workload of workloads) {
      bench.progress.step(`${workload}, Node ${node.major}`);
      const candidates: Candidate[] = [];
      const loads: Worker[] = [];
      for (const { program, server } of started.filter(({ program }) => program.workloads.includes(workload))) {
        bench.progress.detail(`${program.name}, preparation`);
        const load = await startLoad(bench, await prepare(program, server.url, workload, names, bench));
        loads.push(load);
        candidates.push({ name: program.name, pid: server.pid, run: load.run });
      }
      if (workload === "refresh" && pgbench) candidates.unshift({ name: "pgbench", run: pgbench });
      const { progress, postgres } = bench;
      const plan = { ...bench.plan, warmUpSeconds: bench.plan.warmUpSeconds * warmUpFactor(workload) };
      const results = await measure({ candidates, plan, progress, postmasterPid: postgres.pid });
      for (const load of loads) await load.stop();
      onResult({ workload, node: node.major, byDataVolume: false, results });
    }
  } finally {
    await Promise.all(started.map(({ server }) => server.stop()));
  }
}

/** V8 optimizes functions that were called thousands of times. At a hundred sign-ins per second, that takes longer. */
const warmUpFactor = (workload: Workload) => (workload === "sign-in" || workload === "client-token" ? 4 : 1);

async function start(
  { postgres, apiKeys }: Bench,
  node: NodeVersion,
  program: Program,
  database: string,
): Promise<Server> {
  const url = program.isLatchkey
    ? await postgres.createFilled(database, { ...initialRows, ...(program.needsApiKeys && { apiKeys }) })
    : program.hasDatabase && (await postgres.create(database));
  return startServer(node.binary, program.script, { ...program.settings, ...(url && { DATABASE_URL: url }) });
}
