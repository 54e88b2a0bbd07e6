/** Measures candidates in turn, in short rounds, so that other activity of the machine affects all of them alike. */
import type { LoadResult } from "./load/protocol.ts";
import { memoryOf, usageOf } from "./processes.ts";
import type { Progress } from "./progress.ts";

/** A load, and the process that it falls on. */
export type Candidate = {
  name: string;
  /** The root of the processes whose CPU time is measured. Absent for pgbench. */
  pid?: number;
  run(seconds: number): Promise<LoadResult>;
};

export type Plan = { rounds: number; secondsEach: number; warmUpSeconds: number };

/** Medians of the rounds, and the figures of each round that ratios are computed from. */
export type Result = {
  name: string;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU time per request: of all processes of the candidate, of its busiest process, and of Postgres. */
  cpuMicros: number;
  busiestMicros: number;
  databaseMicros: number;
  /** `perSecond`, `cpuMicros` and `busiestMicros` of each round. */
  rates: number[];
  cpu: number[];
  busiest: number[];
  /** The maximum since the start of its processes, summed. */
  peakMemoryBytes: number;
  failed: number;
};

type Round = LoadResult & { cpuSeconds: number; busiestSeconds: number; databaseSeconds: number };

type Measurement = { candidates: Candidate[]; plan: Plan; postmasterPid: number; progress: Progress };

export async function measure({ candidates, plan, postmasterPid, progress }: Measurement): Promise<Result[]> {
  const rounds = new Map<Candidate, Round[]>(candidates.map((candidate) => [candidate, []]));
  for (const candidate of candidates) {
    progress.detail(`${candidate.name}, warm-up`);
    await candidate.run(plan.warmUpSeconds);
  }
  for (let round = 0; round < plan.rounds; round += 1) {
    // The order changes: nobody is always first, or always after the same candidate's garbage.
    const first = (round * 2) % candidates.length;
    for (const candidate of [...candidates.slice(first), ...candidates.slice(0, first)]) {
      progress.detail(`${candidate.name}, round ${round + 1} of ${plan.rounds}`);
      rounds.get(candidate)?.push(await measureRound(candidate, plan.secondsEach, postmasterPid));
    }
  }
  return candidates.map((candidate) => summarize(candidate, rounds.get(candidate) ?? []));
}

async function measureRound({ pid, run }: Candidate, seconds: number, postmasterPid: number): Promise<Round> {
  const before = pid === undefined ? undefined : usageOf(pid);
  const databaseBefore = usageOf(postmasterPid).seconds;
  const result = await run(seconds);
  const databaseSeconds = usageOf(postmasterPid).seconds - databaseBefore;
  if (pid === undefined || !before) {
    return { ...result, cpuSeconds: Number.NaN, busiestSeconds: Number.NaN, databaseSeconds };
  }
  const after = usageOf(pid);
  const perProcess = [...after.byProcess].map(([process, used]) => used - (before.byProcess.get(process) ?? 0));
  return {
    ...result,
    cpuSeconds: after.seconds - before.seconds,
    busiestSeconds: Math.max(...perProcess),
    databaseSeconds,
  };
}

function summarize({ name, pid }: Candidate, rounds: Round[]): Result {
  const microsPerRequest = (seconds: (round: Round) => number) =>
    rounds.map((round) => (round.answered > 0 ? (seconds(round) / round.answered) * 1e6 : Number.NaN));
  const rates = rounds.map(({ answered, seconds }) => answered / seconds);
  const cpu = microsPerRequest(({ cpuSeconds }) => cpuSeconds);
  const busiest = microsPerRequest(({ busiestSeconds }) => busiestSeconds);
  return {
    name,
    perSecond: median(rates),
    p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
    cpuMicros: median(cpu),
    busiestMicros: median(busiest),
    databaseMicros: median(microsPerRequest(({ databaseSeconds }) => databaseSeconds)),
    rates,
    cpu,
    busiest,
    peakMemoryBytes: pid === undefined ? Number.NaN : memoryOf(pid, "VmHWM"),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
  };
}

/**
 * The quotients of two candidates, round by round: the machine may be twice as fast in the next round. NaN for a round
 * in which the divisor is 0.
 */
export const quotients = (dividends: number[], divisors: number[]): number[] =>
  dividends.map((value, round) => value / (divisors[round] || Number.NaN));

/** The median of the quotients of two rates. */
export const rateRatio = (one: Result, other: Result): number => median(quotients(one.rates, other.rates));

/** Ignores NaN. */
export function median(values: number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle - 0.5)] ?? Number.NaN) + (sorted[Math.ceil(middle - 0.5)] ?? Number.NaN)) / 2;
}
