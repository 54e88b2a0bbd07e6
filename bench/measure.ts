/** Contenders in turn, in short rounds, so that what else the machine does hits all of them alike. */
import type { Outcome } from "./load/load.ts";
import { memoryOf, usageOf } from "./processes.ts";

/** Who takes part: some load, and whom it falls upon. */
export type Entrant = {
  name: string;
  /** The root of the processes whose cost is counted; absent where it is no process of ours. */
  pid?: number;
  run(seconds: number): Promise<Outcome>;
};

export type Plan = { rounds: number; secondsEach: number; warmUpSeconds: number };

/** Medians over the rounds. */
export type Result = {
  name: string;
  perSecond: number;
  /** Of each round. */
  rates: number[];
  p50Ms: number;
  p99Ms: number;
  /** Processor time a request: of the contender, of its busiest process, of Postgres. In µs. */
  cpuMicros: number;
  busiestMicros: number;
  /** The same of the busiest process, of each round. */
  busiest: number[];
  databaseMicros: number;
  /** The most that it ever was, since its start, of all its processes. */
  peakMemoryBytes: number;
  failed: number;
};

type Round = Outcome & { cpu: number; busiest: number; database: number };

/** @param databasePid of the postmaster */
export async function measure(entrants: Entrant[], plan: Plan, databasePid: number): Promise<Result[]> {
  const rounds = new Map<Entrant, Round[]>(entrants.map((entrant) => [entrant, []]));
  for (const entrant of entrants) await entrant.run(plan.warmUpSeconds);
  for (let round = 0; round < plan.rounds; round += 1) {
    // Nobody is always the first, or always behind the same one's garbage.
    const first = (round * 2) % entrants.length;
    for (const entrant of [...entrants.slice(first), ...entrants.slice(0, first)]) {
      rounds.get(entrant)?.push(await oneRound(entrant, plan.secondsEach, databasePid));
    }
  }
  return entrants.map((entrant) => summary(entrant, rounds.get(entrant) ?? []));
}

async function oneRound({ pid, run }: Entrant, seconds: number, databasePid: number): Promise<Round> {
  const before = pid === undefined ? undefined : usageOf(pid);
  const databaseBefore = usageOf(databasePid).seconds;
  const outcome = await run(seconds);
  const database = usageOf(databasePid).seconds - databaseBefore;
  if (pid === undefined || !before) return { ...outcome, cpu: Number.NaN, busiest: Number.NaN, database };
  const after = usageOf(pid);
  const ofEach = [...after.byProcess].map(([pid, used]) => used - (before.byProcess.get(pid) ?? 0));
  return { ...outcome, cpu: after.seconds - before.seconds, busiest: Math.max(...ofEach), database };
}

function summary({ name, pid }: Entrant, rounds: Round[]): Result {
  const over = (value: (round: Round) => number) => median(rounds.map(value));
  const micros = (value: (round: Round) => number) => over((round) => (value(round) / round.answered) * 1e6);
  const rates = rounds.map(({ answered, seconds }) => answered / seconds);
  return {
    name,
    perSecond: median(rates),
    rates,
    p50Ms: over(({ p50Ms }) => p50Ms),
    p99Ms: over(({ p99Ms }) => p99Ms),
    cpuMicros: micros(({ cpu }) => cpu),
    busiestMicros: micros(({ busiest }) => busiest),
    busiest: rounds.map(({ busiest, answered }) => (busiest / answered) * 1e6),
    databaseMicros: micros(({ database }) => database),
    peakMemoryBytes: pid === undefined ? Number.NaN : memoryOf(pid, "VmHWM"),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
  };
}

/**
 * How many times as much one does as the other, who was in the same rounds. Each round is compared with itself, since the
 * machine may be twice as fast in the next one.
 */
export const ratios = (one: Result, other: Result): number[] => quotients(one.rates, other.rates);
export const ratio = (one: Result, other: Result): number => median(ratios(one, other));

/** Of two who were in the same rounds, round by round. */
export const quotients = (one: number[], other: number[]): number[] =>
  one.map((value, round) => value / (other[round] ?? Number.NaN));

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle - 0.5)] ?? Number.NaN) + (sorted[Math.ceil(middle - 0.5)] ?? Number.NaN)) / 2;
}
