/** Measures how soon Latchkey is ready, with Postgres running and its schema up to date, and its memory when idle. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, NodeVersion } from "./context.ts";
import { memoryOf, startServer, treeOf } from "./processes.ts";
import { latchkey } from "./programs.ts";

/** The figures of each start. The memory is that of one process. */
export type Startup = { node: string; readyMs: number[]; idleMemoryBytes: number[] };

/** By then the dictionaries have left the memory (after 15 s), and Node 24 has returned it to the system (8 s later). */
const idleSeconds = 30;

/** Starts Latchkey several times. It is idle after each start in a full run, and after the last one in a quick run. */
export async function measureStartup({ plan, postgres, progress }: Bench, node: NodeVersion): Promise<Startup> {
  progress.step(`startup, Node ${node.major}`);
  const isQuick = plan.rounds < 3;
  const starts = isQuick ? 2 : 5;
  const url = await postgres.createFilled(`start_${node.major}`, { users: 1_000, revocations: 1 });
  const readyMs: number[] = [];
  const idleMemoryBytes: number[] = [];
  // The first start creates the signing keys, and is not counted.
  for (let n = 0; n <= starts; n += 1) {
    progress.detail(`start ${n} of ${starts}`);
    const server = await startServer(node.binary, latchkey.script, { ...latchkey.settings, DATABASE_URL: url });
    if (n > 0) readyMs.push(server.readyAfterMs);
    if (n === starts || (n > 0 && !isQuick)) {
      progress.detail(`idle after start ${n} of ${starts}`);
      await sleep(idleSeconds * 1000);
      idleMemoryBytes.push(memoryOf(server.pid, "VmRSS") / treeOf(server.pid).length);
    }
    await server.stop();
  }
  return { node: node.major, readyMs, idleMemoryBytes };
}
