/** Decides whether a target is met, as far as a run on a noisy machine can tell. */

export type Target = {
  what: string;
  /** The median. Absent if it was not measured. */
  found?: number;
  /** The figure of each round, or of each start. Absent for a single measurement. */
  samples?: number[];
  bound: number;
  kind: "at least" | "at most";
  /** Whether the figure is not relative to another one of the same round. It then depends on the speed of the machine. */
  isAbsolute?: true;
};

export type Verdict = "met" | "missed" | "unclear" | "not measured";

/** The accepted probability of calling a target missed that is met. */
const significance = 0.05;

/**
 * A target is missed only if a sign test of the rounds says so: it assumes nothing about the distribution of the noise. If the
 * true median is at the bound, each round is on either side with the same probability. If the median misses the bound but
 * the rounds are too few, or disagree too much, the verdict is `unclear`: repeat the run.
 * @param isBusy whether other programs used the machine. Absolute figures are `unclear` then.
 */
export function assess({ found, samples, bound, kind, isAbsolute }: Target, isBusy = false): Verdict {
  if (found === undefined || Number.isNaN(found)) return "not measured";
  const misses = (value: number) => (kind === "at least" ? value < bound : value > bound);
  if (!misses(found)) return "met";
  if (isAbsolute && isBusy) return "unclear";
  if (samples === undefined) return "missed";
  const missed = samples.filter(misses).length;
  return probabilityOfHeads(samples.length, missed) <= significance ? "missed" : "unclear";
}

/** The probability of at least `heads` heads in a number of tosses of a fair coin. */
function probabilityOfHeads(tosses: number, heads: number): number {
  let sum = 0;
  let binomial = 1;
  for (let k = 0; k <= tosses; k += 1) {
    if (k >= heads) sum += binomial;
    binomial = (binomial * (tosses - k)) / (k + 1);
  }
  return sum / 2 ** tosses;
}
