/** Compares Latchkey with itself, with more and more rows in its database and entries in its memory. */
import { type Bench, type NodeVersion, startLoad } from "./context.ts";
import type { DataVolume } from "./database.ts";
import { type Candidate, measure } from "./measure.ts";
import { type Server, startServer, type Worker } from "./processes.ts";
import { latchkey, type Workload } from "./programs.ts";
import { type Comparison, number } from "./report.ts";
import { prepare } from "./workloads.ts";

/** @param onResult called once per workload; the first result is the one that the others are compared with */
export async function measureDataVolume(
  bench: Bench,
  node: NodeVersion,
  workloads: Workload[],
  onResult: (comparison: Comparison) => void,
): Promise<void> {
  const volumes: [string, DataVolume][] = [
    ["1,000 users and sessions", { users: 1_000, revocations: 1 }],
    ["100 revocations", { users: 1_000, revocations: 100 }],
    [`${number(bench.million)} revocations`, { users: 1_000, revocations: bench.million }],
    [`${number(bench.million)} users and sessions`, { users: bench.million, revocations: 1 }],
  ];
  // In a quick run, one hundred makes no measurable difference.
  if (bench.plan.rounds < 3) volumes.splice(1, 1);
  const started: { name: string; names: string[]; server: Server }[] = [];
  bench.progress.step("fill the databases");
  try {
    for (const [index, [name, volume]] of volumes.entries()) {
      bench.progress.detail(name);
      const url = await bench.postgres.createFilled(`volume${index}`, volume);
      const server = await startServer(node.binary, latchkey.script, { ...latchkey.settings, DATABASE_URL: url });
      // Random users, so that their rows are not all in the cache.
      const names = Array.from({ length: bench.users }, () => `filled${Math.floor(Math.random() * volume.users)}`);
      started.push({ name, names, server });
    }
    for (const workload of workloads) {
      bench.progress.step(`${workload} by data volume, Node ${node.major}`);
      const loads: Worker[] = [];
      const candidates: Candidate[] = [];
      for (const { name, names, server } of started) {
        const load = await startLoad(bench, await prepare(latchkey, server.url, workload, names, bench));
        loads.push(load);
        candidates.push({ name, pid: server.pid, run: load.run });
      }
      const { plan, progress, postgres } = bench;
      const results = await measure({ candidates, plan, progress, postmasterPid: postgres.pid });
      for (const load of loads) await load.stop();
      onResult({ workload, node: node.major, byDataVolume: true, results });
    }
  } finally {
    await Promise.all(started.map(({ server }) => server.stop()));
  }
}
