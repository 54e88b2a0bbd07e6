/** From samples to medians, ratios and verdicts. */
import type { Measured } from "./load.ts";

/** One round of one contender at one kind of work. */
export type Sample = Measured & {
  /** The version of Node, or `growth`. */
  node: string;
  work: string;
  contender: string;
  /** CPU time a request of its process and its children. */
  cpuMicroseconds: number | undefined;
  /** The most memory that it has had resident so far. */
  peakMiB: number | undefined;
};

export type Figures = {
  machine: string;
  rounds: number;
  seconds: number;
  /** What stands for a million; fewer in a quick run. */
  many: number;
  samples: Sample[];
  /** Latchkey's start to its first answer, and what it has resident when it has been idle. */
  starts: { node: string; ms: number; idleMiB: number | undefined }[];
};

export type Row = { node: string; work: string; contender: string } & Record<Median, number>;
type Median = "perSecond" | "p50" | "p99" | "cpuMicroseconds" | "peakMiB";

const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

function group(samples: Sample[], keyOf: (sample: Sample) => string): Sample[][] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) groups.set(keyOf(sample), [...(groups.get(keyOf(sample)) ?? []), sample]);
  return [...groups.values()];
}

/** The medians over the rounds, in the order in which they were measured first. */
export function rowsOf({ samples }: Figures): Row[] {
  const keyOf = ({ node, work, contender }: Sample) => `${node} ${work} ${contender}`;
  return group(samples, keyOf).map((rounds) => {
    const of = (name: Median) => median(rounds.flatMap((sample) => sample[name] ?? []));
    const { node, work, contender } = rounds[0] as Sample;
    return {
      ...{ node, work, contender },
      ...{ perSecond: of("perSecond"), p50: of("p50"), p99: of("p99") },
      ...{ cpuMicroseconds: of("cpuMicroseconds"), peakMiB: of("peakMiB") },
    };
  });
}

type Target = { what: string; value: number; atLeast?: number; atMost?: number };

/** What the project promises of its speed, and what this run says of it. */
function targetsOf(figures: Figures): Target[] {
  const rows = rowsOf(figures);
  const find = (node: string, work: string, contender: string, name: Median = "perSecond") =>
    rows.find((row) => row.node === node && row.work === work && row.contender === contender)?.[name] ?? Number.NaN;
  const nodes = [...new Set(rows.map(({ node }) => node))].filter((node) => node !== "growth");
  const ofNode = nodes.flatMap((node): Target[] => {
    const ratio = (work: string, to: string) => find(node, work, "latchkey") / find(node, work, to);
    const isOld = Number(/^v(\d+)/.exec(node)?.[1]) < 24;
    return [
      { what: `${node}: bearer / express`, value: ratio("bearer", "express"), atLeast: isOld ? 1.3 : 0.6 },
      { what: `${node}: bearer / better-auth`, value: ratio("bearer", "better-auth"), atLeast: 10 },
      { what: `${node}: sign-ins / bare argon2`, value: ratio("sign-in", "bare argon2"), atLeast: 0.9 },
      { what: `${node}: sign-ins / better-auth`, value: ratio("sign-in", "better-auth"), atLeast: 5 },
      { what: `${node}: refreshes / pgbench`, value: ratio("refresh", "pgbench"), atLeast: 0.6 },
      { what: `${node}: refreshes a second`, value: find(node, "refresh", "latchkey"), atLeast: 300 },
      {
        // What two cores would do without the client on them: each process as much as its CPU time a request allows.
        what: `${node}: bearer, two workers / one`,
        value:
          (2 * find(node, "bearer", "latchkey", "cpuMicroseconds")) /
          find(node, "bearer", "latchkey, 2 workers", "cpuMicroseconds"),
        atLeast: 1.7,
      },
    ];
  });
  const works = [...new Set(rows.filter(({ node }) => node === "growth").map(({ work }) => work))];
  const growth = works.flatMap((work): Target[] => {
    const compare = (few: string, much: string) => find("growth", work, much) / find("growth", work, few);
    const users = ["a thousand users and sessions", `${figures.many} users and sessions`] as const;
    return [
      { what: `${work} with ${users[1]} / a thousand`, value: compare(...users), atLeast: 0.9 },
      {
        what: `${work} with ${figures.many} revocations / one`,
        value: compare(users[0], `${figures.many} revocations`),
        atLeast: 0.9,
      },
    ];
  });
  const starts = nodes.flatMap((node): Target[] => {
    const own = figures.starts.filter((start) => start.node === node);
    return [
      { what: `${node}: start to ready, ms`, value: median(own.map(({ ms }) => ms)), atMost: 1_000 },
      { what: `${node}: idle memory, MiB`, value: median(own.flatMap(({ idleMiB }) => idleMiB ?? [])), atMost: 120 },
    ];
  });
  return [...ofNode, ...growth, ...starts].filter(({ value }) => !Number.isNaN(value));
}

const holds = ({ value, atLeast = -Infinity, atMost = Infinity }: Target) => value >= atLeast && value <= atMost;

/** The figures as Markdown. */
export function report(figures: Figures): { text: string; passed: boolean } {
  const number = (value: number, digits = 0) => (Number.isNaN(value) ? "" : value.toFixed(digits));
  const rows = rowsOf(figures).map(({ node, work, contender, perSecond, p50, p99, cpuMicroseconds, peakMiB }) => [
    ...[node, work, contender, number(perSecond), number(p50, 1), number(p99, 1)],
    ...[number(cpuMicroseconds), number(peakMiB)],
  ]);
  const targets = targetsOf(figures);
  const verdicts = targets.map((target) => {
    const { what, value, atLeast, atMost } = target;
    const bound = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
    return [what, number(value, value < 20 ? 2 : 0), bound, holds(target) ? "holds" : "does not hold"];
  });
  const { machine, rounds, seconds } = figures;
  const text = [
    `${machine}; medians of ${rounds} rounds of ${seconds} s, side by side.`,
    table(["Node", "work", "contender", "a second", "p50 ms", "p99 ms", "CPU µs a request", "peak MiB"], rows),
    table(["target", "measured", "bound", ""], verdicts),
  ].join("\n\n");
  return { text: `${text}\n`, passed: targets.every(holds) };
}

function table(head: string[], rows: string[][]): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: string[]) => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
