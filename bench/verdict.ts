/** Whether a target is met, as far as a run on a noisy machine can tell. */

export type Target = {
  what: string;
  /** The median; absent where it was not measured. */
  found?: number;
  /** One value for each round: ratios within a round, where two are compared. Absent where one measurement is all there is. */
  samples?: number[];
  bound: number;
  /** Whether the bound is the least that will do, or the most. */
  kind: "at least" | "at most";
  /** Whether the values are of time that passed, with nothing measured beside them: they say as much about the machine. */
  isAbsolute?: true;
};

export type Verdict = "pass" | "FAIL" | "noisy, repeat" | "not measured";

/** How probable it may be that a target that is met is called missed. */
const significance = 0.05;

/**
 * A target is missed only where chance does not explain it: by a sign test of the rounds, which asks nothing of how the noise is
 * distributed. If the true median is just at the bound, each round is on either side with the same probability. Where too
 * many are on the wrong side, the target is missed; where the median is on the wrong side but that is not sure, the run
 * should be repeated. A few slow rounds therefore decide nothing, and neither does a run of so few rounds that they cannot.
 * @param isBusy whether other programs used the machine: absolute times are no evidence then
 */
export function judge({ found, samples, bound, kind, isAbsolute }: Target, isBusy = false): Verdict {
  if (found === undefined || Number.isNaN(found)) return "not measured";
  const misses = (value: number) => (kind === "at least" ? value < bound : value > bound);
  if (!misses(found)) return "pass";
  if (isAbsolute && isBusy) return "noisy, repeat";
  if (samples === undefined) return "FAIL";
  const missed = samples.filter(misses).length;
  return tail(samples.length, missed) <= significance ? "FAIL" : "noisy, repeat";
}

/** The probability of at least so many heads among some tosses of a coin. */
function tail(tosses: number, heads: number): number {
  let sum = 0;
  let binomial = 1;
  for (let k = 0; k <= tosses; k += 1) {
    if (k >= heads) sum += binomial;
    binomial = (binomial * (tosses - k)) / (k + 1);
  }
  return sum / 2 ** tosses;
}
