/** How soon Latchkey is ready, with Postgres running and its schema up to date, and what memory it has with nothing to do. */
import { setTimeout as sleep } from "node:timers/promises";
import { latchkey } from "./contenders.ts";
import type { Bench, NodeVersion } from "./context.ts";
import { median } from "./measure.ts";
import { memoryOf, startServer, treeOf } from "./processes.ts";

/** Medians. */
export type Start = { node: string; readyMs: number; readyMsOfEach: number[]; idleMemoryBytes: number };

/** By then V8 has given back what the start took. */
const idleSeconds = 20;

/** @returns memory a process */
export async function measureStart({ postgres }: Bench, node: NodeVersion, starts: number): Promise<Start> {
  const url = await postgres.createFilled(`start_${node.major}`, { users: 1_000, revocations: 1 });
  const readyMs: number[] = [];
  const idle: number[] = [];
  // The first one makes the signing keys, and is not counted.
  for (let n = 0; n <= starts; n += 1) {
    const server = await startServer(node.binary, latchkey.script, { ...latchkey.settings, DATABASE_URL: url });
    if (n > 0) readyMs.push(server.readyAfterMs);
    if (n === starts) {
      await sleep(idleSeconds * 1000);
      idle.push(memoryOf(server.pid, "VmRSS") / treeOf(server.pid).length);
    }
    await server.stop();
  }
  return { node: node.major, readyMs: median(readyMs), readyMsOfEach: readyMs, idleMemoryBytes: median(idle) };
}
