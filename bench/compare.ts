/** Latchkey beside its peers and its ceilings. */

import { type Contender, contenders, type Work } from "./contenders.ts";
import { type Bench, compiled, type NodeVersion, startLoad } from "./context.ts";
import { type Entrant, measure } from "./measure.ts";
import { pgbenchRefreshes } from "./pgbench.ts";
import { type Server, startServer, startWorker, treeOf, type Worker } from "./processes.ts";
import type { Series } from "./report.ts";
import { prepare, register } from "./workloads.ts";

/** Few users and sessions, as in an installation that is young. */
const few = { users: 1_000, revocations: 1 };

/** Starts all who take part in these works and measures them, one work after the other. */
export async function compare(
  bench: Bench,
  node: NodeVersion,
  works: Work[],
  tell: (series: Series) => void,
): Promise<void> {
  const names = Array.from({ length: bench.users }, (_, n) => `user${n}`);
  const started: { contender: Contender; server: Server }[] = [];
  const refreshes = works.includes("refresh")
    ? await pgbenchRefreshes(bench.postgres, `pgbench_${node.major}`)
    : undefined;
  try {
    for (const [index, contender] of contenders.entries()) {
      if (!contender.works.some((work) => works.includes(work))) continue;
      const database = `contender${index}_${node.major}`;
      const url = contender.isLatchkey
        ? await bench.postgres.createFilled(database, few)
        : contender.keeps && (await bench.postgres.create(database));
      const settings = { ...contender.settings, ...(url && { DATABASE_URL: url }) };
      const server = await startServer(node.binary, contender.script, settings);
      if (contender.needsWorkers && treeOf(server.pid).length < 3) {
        console.log(`${contender.name} is left out: this build knows no WORKERS.\n`);
        await server.stop();
        continue;
      }
      await register(contender, server.url, names);
      started.push({ contender, server });
    }
    for (const work of works) {
      const entrants: Entrant[] = [];
      const workers: Worker[] = [];
      for (const { contender, server } of started.filter(({ contender }) => contender.works.includes(work))) {
        const load = await startLoad(bench, await prepare(contender, server.url, work, names, bench.sessions));
        workers.push(load);
        entrants.push({ name: contender.name, pid: server.pid, run: load.run });
      }
      if (work === "sign-in") {
        const loop = await startWorker(node.binary, compiled("contenders/argon2"));
        workers.push(loop);
        entrants.unshift({ name: "argon2 alone", pid: loop.pid, run: loop.run });
      }
      if (work === "refresh" && refreshes) entrants.unshift({ name: "pgbench", run: refreshes });
      const results = await measure(entrants, bench.plan, bench.postgres.pid);
      for (const worker of workers) await worker.stop();
      tell({ work, node: node.major, growth: false, results });
    }
  } finally {
    await Promise.all(started.map(({ server }) => server.stop()));
  }
}
