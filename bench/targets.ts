/** What Latchkey is to reach, held against what a run found. */
import type { Work } from "./contenders.ts";
import { median, quotients, type Result, ratios } from "./measure.ts";
import type { Report } from "./report.ts";
import type { Target } from "./verdict.ts";

export function targets({ series, starts }: Report): Target[] {
  const result = (work: Work, node: string, name: string) =>
    series
      .find((one) => one.work === work && one.node === node && !one.growth)
      ?.results.find((one) => one.name === name);
  /** How many times as much Latchkey does as another. */
  const times = (work: Work, node: string, other: string, bound: number): Target => ({
    what: `Node ${node}: ${work}, Latchkey / ${other}`,
    ...found(bothOf(ratios, result(work, node, "Latchkey"), result(work, node, other))),
    bound,
    kind: "at least",
  });
  const nodes = [...new Set(series.map(({ node }) => node))];
  const ofWork = (work: Work) => nodes.filter((node) => result(work, node, "Latchkey"));

  return [
    ...ofWork("check").flatMap((node) => [
      // Express itself is several times as fast since Node 24.
      times("check", node, "Express", Number(node) < 24 ? 1.3 : 0.6),
      times("check", node, "better-auth", 10),
    ]),
    ...ofWork("sign-in").flatMap((node) => [
      times("sign-in", node, "argon2 alone", 0.9),
      times("sign-in", node, "better-auth", 5),
    ]),
    ...ofWork("refresh").flatMap((node): Target[] => [
      times("refresh", node, "pgbench", 0.6),
      {
        what: `Node ${node}: refreshes a second`,
        ...found(result("refresh", node, "Latchkey")?.rates),
        bound: 300,
        kind: "at least",
        isAbsolute: true,
      },
    ]),
    ...ofWork("check").map(
      (node): Target => ({
        what: `Node ${node}: check, WORKERS=2 / one process, by processor time (see bench/README.md)`,
        // A server does as much as its busiest process lets it: it answers 1 / (the time of that one a request) a second.
        ...found(
          bothOf(
            (one, two) => quotients(one.busiest, two.busiest),
            result("check", node, "Latchkey"),
            result("check", node, "Latchkey, WORKERS=2"),
          ),
        ),
        bound: 1.7,
        kind: "at least",
      }),
    ),
    ...series
      .filter(({ growth }) => growth)
      .flatMap(({ work, node, results: [base, ...grown] }) =>
        grown.map(
          (one): Target => ({
            what: `Node ${node}: ${work} with ${one.name} / with few`,
            ...found(bothOf(ratios, one, base)),
            bound: 0.9,
            kind: "at least",
          }),
        ),
      ),
    ...starts.flatMap(({ node, readyMs, readyMsOfEach, idleMemoryBytes }): Target[] => [
      {
        what: `Node ${node}: start to ready, ms`,
        found: readyMs,
        samples: readyMsOfEach,
        bound: 1_000,
        kind: "at most",
        isAbsolute: true,
      },
      { what: `Node ${node}: idle memory a process, MB`, found: idleMemoryBytes / 1e6, bound: 120, kind: "at most" },
    ]),
  ];
}

const bothOf = (compare: (one: Result, other: Result) => number[], one?: Result, other?: Result) =>
  one && other && compare(one, other);
const found = (samples: number[] | undefined) => (samples === undefined ? {} : { found: median(samples), samples });
