/** The targets of Latchkey, with the figures of a run. */
import { median, quotients, type Result } from "./measure.ts";
import { forwardAuthFilesKib, type Workload } from "./programs.ts";
import type { BenchmarkReport } from "./report.ts";
import type { Target } from "./verdict.ts";

export function targets({ comparisons, startups, verifiers }: BenchmarkReport): Target[] {
  const result = (workload: Workload, node: string, name: string) =>
    comparisons
      .find((one) => one.workload === workload && one.node === node && !one.byDataVolume)
      ?.results.find((one) => one.name === name);
  const rates = (one: Result, other: Result) => quotients(one.rates, other.rates);
  /** Compares Latchkey with another program, by requests per second unless told otherwise. */
  const beside = (workload: Workload, node: string, other: string, bound: number): Target => ({
    what: `Node ${node}: ${workload}, Latchkey / ${other}`,
    ...figures(rates, result(workload, node, "Latchkey"), result(workload, node, other)),
    bound,
    kind: "at least",
  });
  const nodes = [...new Set(comparisons.map(({ node }) => node))];
  const measuredOn = (workload: Workload) => nodes.filter((node) => result(workload, node, "Latchkey"));

  return [
    ...measuredOn("check").flatMap((node): Target[] => [
      {
        what: `Node ${node}: check, CPU of Latchkey / CPU of node:http`,
        ...figures(
          (one: Result, other: Result) => quotients(one.cpu, other.cpu),
          result("check", node, "Latchkey"),
          result("check", node, "node:http"),
        ),
        bound: 2,
        kind: "at most",
      },
      // Since Node 24, Express itself is several times as fast.
      beside("check", node, "Express", Number(node) < 24 ? 1.3 : 0.6),
      beside("check", node, "better-auth", 10),
      {
        what: `Node ${node}: check, two workers / one process (see bench/README.md)`,
        ...figures(
          (one: Result, two: Result) => quotients(one.busiest, two.busiest),
          result("check", node, "Latchkey"),
          result("check", node, "Latchkey, WORKERS=2"),
        ),
        bound: 1.7,
        kind: "at least",
      },
    ]),
    ...measuredOn("check").map(
      (node): Target => ({
        what: `Node ${node}: check, API key / token`,
        ...figures(rates, result("check", node, "Latchkey, API key"), result("check", node, "Latchkey")),
        bound: 0.8,
        kind: "at least",
      }),
    ),
    ...nodes
      .map((node) => ({ node, first: result("first-check", node, "Latchkey, API key") }))
      .flatMap(({ node, first }): Target[] =>
        first
          ? [
              {
                what: `Node ${node}: first-check, per second`,
                ...figures((one: Result) => one.rates, first),
                bound: 5_000,
                kind: "at least",
                isAbsolute: true,
              },
            ]
          : [],
      ),
    ...measuredOn("sign-in").flatMap((node): Target[] => [
      beside("sign-in", node, "argon2 alone", 0.9),
      beside("sign-in", node, "better-auth", 5),
      ...["Latchkey without the hash", "Latchkey without the hash, THROTTLE=on"].map(
        (name): Target => ({
          what: `Node ${node}: sign-in, CPU of ${name}, ms`,
          ...figures((one: Result) => one.cpu.map((micros) => micros / 1000), result("sign-in", node, name)),
          bound: 0.4,
          kind: "at most",
          isAbsolute: true,
        }),
      ),
    ]),
    ...measuredOn("refresh").flatMap((node): Target[] => [
      beside("refresh", node, "pgbench", 0.4),
      {
        what: `Node ${node}: refresh, per second`,
        ...figures((one: Result) => one.rates, result("refresh", node, "Latchkey")),
        bound: 300,
        kind: "at least",
        isAbsolute: true,
      },
    ]),
    ...nodes
      .filter((node) => result("guarded-route", node, "Fastify"))
      .map(
        (node): Target => ({
          what: `Node ${node}: guarded-route, CPU of Fastify / CPU with the contract guard`,
          ...figures(
            (one: Result, other: Result) => quotients(one.cpu, other.cpu),
            result("guarded-route", node, "Fastify"),
            result("guarded-route", node, "Fastify, contract guard"),
          ),
          bound: 0.85,
          kind: "at least",
        }),
      ),
    ...nodes
      .filter((node) => result("introspection", node, "Latchkey, introspection"))
      .map(
        (node): Target => ({
          what: `Node ${node}: introspection, per second`,
          ...figures((one: Result) => one.rates, result("introspection", node, "Latchkey, introspection")),
          bound: 10_000,
          kind: "at least",
          isAbsolute: true,
        }),
      ),
    ...forwardAuthFilesKib.flatMap((kib) => {
      const resultOf = (node: string, program: string) => result("forward-auth", node, `${program}, ${kib} KiB`);
      return nodes
        .filter((node) => resultOf(node, "nginx, Latchkey"))
        .map(
          (node): Target => ({
            what: `Node ${node}: forward-auth, nginx with Latchkey / nginx alone, file of ${kib} KiB`,
            ...figures(rates, resultOf(node, "nginx, Latchkey"), resultOf(node, "nginx")),
            bound: 0.5,
            kind: "at least",
          }),
        );
    }),
    ...measuredOn("client-token").flatMap((node): Target[] => [
      beside("client-token", node, "oidc-provider", 1.5),
      {
        what: `Node ${node}: client-token, per second`,
        ...figures((one: Result) => one.rates, result("client-token", node, "Latchkey")),
        bound: 2_500,
        kind: "at least",
        isAbsolute: true,
      },
    ]),
    ...nodes
      .filter((node) => result("code-flow", node, "Latchkey without the hash"))
      .map(
        (node): Target => ({
          what: `Node ${node}: code-flow, per second`,
          ...figures((one: Result) => one.rates, result("code-flow", node, "Latchkey without the hash")),
          bound: 300,
          kind: "at least",
          isAbsolute: true,
        }),
      ),
    ...comparisons
      .filter(({ byDataVolume }) => byDataVolume)
      .flatMap(({ workload, node, results: [smallest, ...larger] }) =>
        larger.map(
          (one): Target => ({
            what: `Node ${node}: ${workload}, ${one.name} / 1,000 users`,
            ...figures(rates, one, smallest),
            bound: 0.9,
            kind: "at least",
          }),
        ),
      ),
    ...startups.flatMap(({ node, readyMs, idleMemoryBytes }): Target[] => [
      {
        what: `Node ${node}: start to ready, ms`,
        ...sampled(readyMs),
        bound: 600,
        kind: "at most",
        isAbsolute: true,
      },
      {
        what: `Node ${node}: idle memory, MB`,
        ...sampled(idleMemoryBytes.map((bytes) => bytes / 1e6)),
        bound: 110,
        kind: "at most",
      },
    ]),
    ...verifiers.flatMap(({ node, remembered, first, promptnessMs }): Target[] => [
      {
        what: `Node ${node}: verifier, remembered tokens per second`,
        ...sampled(remembered),
        bound: 1_000_000,
        kind: "at least",
        isAbsolute: true,
      },
      ...Object.entries(first).map(
        ([algorithm, ratios]): Target => ({
          what: `Node ${node}: verifier, first verification / node:crypto, ${algorithm}`,
          ...sampled(ratios),
          bound: 0.8,
          kind: "at least",
        }),
      ),
      {
        what: `Node ${node}: verifier, from a revocation to the refusal, ms`,
        ...sampled(promptnessMs),
        bound: 50,
        kind: "at most",
        isAbsolute: true,
      },
      {
        what: `Node ${node}: verifier, the slowest refusal, ms`,
        ...sampled([Math.max(...promptnessMs)]),
        bound: 1_000,
        kind: "at most",
        isAbsolute: true,
      },
    ]),
  ];
}

type Figures = Pick<Target, "found" | "samples">;

/** The samples and their median. Nothing if one of the results is missing. */
function figures<Results extends Result[]>(
  samplesOf: (...results: Results) => number[],
  ...results: { [Index in keyof Results]: Result | undefined }
): Figures {
  if (results.includes(undefined)) return {};
  return sampled(samplesOf(...(results as Results)));
}

const sampled = (samples: number[]): Figures => ({ found: median(samples), samples });
