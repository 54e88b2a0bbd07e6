/** Latchkey beside itself, with more and more kept in its database and in its memory. */

import { latchkey, type Work } from "./contenders.ts";
import { type Bench, type NodeVersion, startLoad } from "./context.ts";
import type { Filling } from "./database.ts";
import { type Entrant, measure } from "./measure.ts";
import { type Server, startServer, type Worker } from "./processes.ts";
import { number, type Series } from "./report.ts";
import { prepare } from "./workloads.ts";

/** @param tell is given a series for each work; the first in it is what the others are compared with */
export async function measureGrowth(
  bench: Bench,
  node: NodeVersion,
  works: Work[],
  tell: (series: Series) => void,
): Promise<void> {
  const fillings: [string, Filling][] = [
    ["1,000 users and sessions", { users: 1_000, revocations: 1 }],
    ["100 revocations", { users: 1_000, revocations: 100 }],
    [`${number(bench.million)} revocations`, { users: 1_000, revocations: bench.million }],
    [`${number(bench.million)} users and sessions`, { users: bench.million, revocations: 1 }],
  ];
  // In a hurry a hundred tells little.
  if (bench.plan.rounds < 3) fillings.splice(1, 1);
  const started: { name: string; names: string[]; server: Server }[] = [];
  try {
    for (const [index, [name, filling]] of fillings.entries()) {
      const url = await bench.postgres.createFilled(`growth${index}`, filling);
      const server = await startServer(node.binary, latchkey.script, { ...latchkey.settings, DATABASE_URL: url });
      // Anybody of them all, so that their rows are not always at hand.
      const names = Array.from({ length: bench.users }, () => `filled${Math.floor(Math.random() * filling.users)}`);
      started.push({ name, names, server });
    }
    for (const work of works) {
      const loads: Worker[] = [];
      const entrants: Entrant[] = [];
      for (const { name, names, server } of started) {
        const load = await startLoad(bench, await prepare(latchkey, server.url, work, names, bench.sessions));
        loads.push(load);
        entrants.push({ name, pid: server.pid, run: load.run });
      }
      const results = await measure(entrants, bench.plan, bench.postgres.pid);
      for (const load of loads) await load.stop();
      tell({ work, node: node.major, growth: true, results });
    }
  } finally {
    await Promise.all(started.map(({ server }) => server.stop()));
  }
}
