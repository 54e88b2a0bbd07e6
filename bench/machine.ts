/** Measures how much of the processors other programs use while a benchmark runs, from Linux' /proc/stat. */
import { readFileSync } from "node:fs";
import { usageOf } from "./processes.ts";

export type MachineLoad = { otherPrograms: number; stolen: number };

/** Starts measuring. @returns a function that returns the fractions of the processors' time since then */
export function measureMachine(): () => MachineLoad {
  const before = readTicks();
  const ownBefore = usageOf(process.pid).seconds * ticksPerSecond;
  return () => {
    const after = readTicks();
    const own = usageOf(process.pid).seconds * ticksPerSecond - ownBefore;
    const total = Math.max(1, after.total - before.total);
    return {
      otherPrograms: Math.max(0, after.busy - before.busy - own) / total,
      stolen: (after.stolen - before.stolen) / total,
    };
  };
}

const ticksPerSecond = 100;

/** The sums over all processors. */
function readTicks(): { total: number; busy: number; stolen: number } {
  const fields = readFileSync("/proc/stat", "utf8").split("\n")[0]?.split(/\s+/).slice(1).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, stolen = 0] = fields;
  const busy = user + nice + system + irq + softirq;
  return { total: busy + idle + iowait + stolen, busy, stolen };
}
