/** The benchmark reports a missed target only if the noise of the machine does not explain it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { median, quotients } from "../../bench/measure.ts";
import { judge, type Target, type Verdict } from "../../bench/verdict.ts";

const ratio = (bound: number, samples: number[]): Target => ({
  what: "a ratio",
  found: median(samples),
  samples,
  bound,
  kind: "at least",
});

/** The part of a recorded run that is read here. */
type Run = { series: { work: string; node: string; growth: boolean; results: { name: string; rates: number[] }[] }[] };

/** The ratio of Latchkey to another program in the run of bench/results/, on Node 20. */
function recorded(work: string, other: string, bound: number, rounds = 7): Target {
  const { series } = JSON.parse(readFileSync("bench/results/bench.json", "utf8")) as Run;
  const { results = [] } = series.find((one) => one.work === work && one.node === "20" && !one.growth) ?? {};
  const rates = (wanted: string) => results.find(({ name }) => name === wanted)?.rates.slice(0, rounds) ?? [];
  return ratio(bound, quotients(rates("Latchkey"), rates(other)));
}

test.each<[what: string, target: Target, verdict: Verdict]>([
  ["recorded: checks beside Express, far above", recorded("check", "Express", 1.3), "pass"],
  ["recorded: sign-ins beside argon2, below in each round", recorded("sign-in", "argon2 alone", 0.9), "FAIL"],
  [
    "recorded: the same, had only the first two rounds been run",
    recorded("sign-in", "argon2 alone", 0.9, 2),
    "noisy, repeat",
  ],
  ["two rounds disturbed", ratio(0.9, [0.98, 0.61, 1.01, 0.97, 0.58, 1.02, 0.96]), "pass"],
  ["half of the rounds disturbed", ratio(0.9, [0.86, 1.04, 0.71, 0.97, 0.88, 0.64, 1.01]), "noisy, repeat"],
  ["six of seven below, one above", ratio(0.9, [0.86, 0.85, 0.88, 0.87, 0.88, 0.84, 0.93]), "noisy, repeat"],
  ["a true regression, however small", ratio(0.9, [0.86, 0.85, 0.88, 0.87, 0.88, 0.84, 0.89]), "FAIL"],
  ["a large regression beside noise", ratio(0.9, [0.31, 0.55, 0.42, 0.38, 0.81, 0.47, 0.4]), "FAIL"],
  ["a quick run cannot be sure", ratio(0.9, [0.5, 0.5]), "noisy, repeat"],
  ["five rounds can", ratio(0.9, [0.8, 0.7, 0.8, 0.75, 0.8]), "FAIL"],
  ["at the bound", ratio(0.9, [0.9, 0.9, 0.9]), "pass"],
  ["starts in time", { what: "", found: 864, samples: [860, 864, 1010], bound: 1000, kind: "at most" }, "pass"],
  ["late starts", { what: "", found: 1300, samples: Array(5).fill(1300), bound: 1000, kind: "at most" }, "FAIL"],
  ["one measurement of what has no noise", { what: "", found: 131, bound: 120, kind: "at most" }, "FAIL"],
  ["nothing", { what: "", bound: 120, kind: "at most" }, "not measured"],
  ["no rounds", ratio(0.9, []), "not measured"],
])("%s: %o is judged as %s", (_, target, verdict) => {
  expect(judge(target)).toBe(verdict);
  // A ratio of figures of the same rounds can be judged while other programs run.
  expect(judge(target, true)).toBe(verdict);
});

test("times without a comparison are no evidence on a busy machine", () => {
  const late: Target = {
    what: "",
    found: 1300,
    samples: Array(5).fill(1300),
    bound: 1000,
    kind: "at most",
    isAbsolute: true,
  };
  expect(judge(late)).toBe("FAIL");
  expect(judge(late, true)).toBe("noisy, repeat");
  expect(judge({ ...late, found: 900, samples: [900] }, true)).toBe("pass");
});

test("rounds that are above and below a bound by chance are rarely reported as a miss", () => {
  // All 128 ways in which seven rounds can lie around a bound that is just met.
  const ways = Array.from({ length: 128 }, (_, way) =>
    Array.from({ length: 7 }, (_, bit) => ((way >> bit) & 1 ? 0.8 : 1)),
  );
  const failed = ways.filter((samples) => judge(ratio(0.9, samples)) === "FAIL").length;
  expect(failed / ways.length).toBeLessThan(0.05);
  expect(failed).toBe(1);
});
