/** The benchmark calls a target missed only if the noise of the machine does not explain it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { median, quotients } from "../../bench/measure.ts";
import { assess, type Target, type Verdict } from "../../bench/verdict.ts";

const ratio = (bound: number, samples: number[]): Target => ({
  what: "a ratio",
  found: median(samples),
  samples,
  bound,
  kind: "at least",
});

/** The part of the recorded run that the tests use. */
type Run = {
  comparisons: {
    workload: string;
    node: string;
    byDataVolume: boolean;
    results: { name: string; rates: number[] }[];
  }[];
};

/** Latchkey compared with another program in the run of bench/results/, on Node 20. */
function recorded(workload: string, other: string, bound: number, rounds = 7): Target {
  const { comparisons } = JSON.parse(readFileSync("bench/results/bench.json", "utf8")) as Run;
  const { results = [] } =
    comparisons.find((one) => one.workload === workload && one.node === "20" && !one.byDataVolume) ?? {};
  const rates = (wanted: string) => results.find(({ name }) => name === wanted)?.rates.slice(0, rounds) ?? [];
  return ratio(bound, quotients(rates("Latchkey"), rates(other)));
}

test.each<[what: string, target: Target, verdict: Verdict]>([
  ["recorded: checks beside Express, far above", recorded("check", "Express", 1.3), "met"],
  ["recorded: sign-ins beside argon2, below in each round", recorded("sign-in", "argon2 alone", 0.9), "missed"],
  [
    "recorded: the same, had only the first two rounds been run",
    recorded("sign-in", "argon2 alone", 0.9, 2),
    "unclear",
  ],
  ["two rounds disturbed", ratio(0.9, [0.98, 0.61, 1.01, 0.97, 0.58, 1.02, 0.96]), "met"],
  ["half of the rounds disturbed", ratio(0.9, [0.86, 1.04, 0.71, 0.97, 0.88, 0.64, 1.01]), "unclear"],
  ["six of seven below, one above", ratio(0.9, [0.86, 0.85, 0.88, 0.87, 0.88, 0.84, 0.93]), "unclear"],
  ["a true regression, however small", ratio(0.9, [0.86, 0.85, 0.88, 0.87, 0.88, 0.84, 0.89]), "missed"],
  ["a large regression beside noise", ratio(0.9, [0.31, 0.55, 0.42, 0.38, 0.81, 0.47, 0.4]), "missed"],
  ["a quick run cannot be sure", ratio(0.9, [0.5, 0.5]), "unclear"],
  ["five rounds can", ratio(0.9, [0.8, 0.7, 0.8, 0.75, 0.8]), "missed"],
  ["at the bound", ratio(0.9, [0.9, 0.9, 0.9]), "met"],
  ["starts in time", { what: "", found: 864, samples: [860, 864, 1010], bound: 1000, kind: "at most" }, "met"],
  ["late starts", { what: "", found: 1300, samples: Array(5).fill(1300), bound: 1000, kind: "at most" }, "missed"],
  ["one measurement of what has no noise", { what: "", found: 131, bound: 120, kind: "at most" }, "missed"],
  ["nothing", { what: "", bound: 120, kind: "at most" }, "not measured"],
  ["no rounds", ratio(0.9, []), "not measured"],
])("%s: %o is %s", (_, target, verdict) => {
  expect(assess(target)).toBe(verdict);
  // Ratios within a round are evidence on a busy machine, too.
  expect(assess(target, true)).toBe(verdict);
});

test("absolute figures are unclear on a busy machine", () => {
  const late: Target = {
    what: "",
    found: 1300,
    samples: Array(5).fill(1300),
    bound: 1000,
    kind: "at most",
    isAbsolute: true,
  };
  expect(assess(late)).toBe("missed");
  expect(assess(late, true)).toBe("unclear");
  expect(assess({ ...late, found: 900, samples: [900] }, true)).toBe("met");
});

test("a target that is just met is called missed with a probability below 5 %", () => {
  // The 128 ways in which seven rounds can be on either side of the bound.
  const ways = Array.from({ length: 128 }, (_, way) =>
    Array.from({ length: 7 }, (_, bit) => ((way >> bit) & 1 ? 0.8 : 1)),
  );
  const failed = ways.filter((samples) => assess(ratio(0.9, samples)) === "missed").length;
  expect(failed / ways.length).toBeLessThan(0.05);
  expect(failed).toBe(1);
});
