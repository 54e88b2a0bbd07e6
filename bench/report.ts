/** The figures of a run, as data and as text. */
import { type Result, rateRatio } from "./measure.ts";
import type { Workload } from "./programs.ts";
import type { Startup } from "./startup.ts";
import { assess, type Target } from "./verdict.ts";
import type { VerifierFigures } from "./verifier.ts";
import { titles } from "./workloads.ts";

/** The results of one workload, measured in the same rounds. */
export type Comparison = { workload: Workload; node: string; byDataVolume: boolean; results: Result[] };

export type BenchmarkReport = {
  date: string;
  quick: boolean;
  machine: string;
  /** Fractions of the processors' time during the run: used by other programs, and taken by the hypervisor. */
  otherPrograms: number;
  stolen: number;
  versions: Record<string, string>;
  comparisons: Comparison[];
  startups: Startup[];
  verifiers: VerifierFigures[];
};

/** Other programs and the hypervisor take so much that absolute figures say little about Latchkey. */
export const isBusy = ({ otherPrograms, stolen }: Pick<BenchmarkReport, "otherPrograms" | "stolen">): boolean =>
  otherPrograms + stolen > 0.1;

/** A comparison as text. `ratio` is relative to Latchkey, or to the smallest data volume. */
export function table({ workload, node, byDataVolume, results }: Comparison): string {
  const reference = results.find(({ name }) => name === "Latchkey") ?? results[0];
  const rows = results.map((result) => [
    result.name,
    number(result.perSecond),
    spread(result.rates, 0),
    reference ? rateRatio(result, reference).toFixed(2) : "",
    number(result.p50Ms, 2),
    number(result.p99Ms, 2),
    number(result.cpuMicros),
    number(result.databaseMicros),
    number(result.peakMemoryBytes / 2 ** 20),
    result.failed === 0 ? "" : `${result.failed} failed`,
  ]);
  const head = ["", "per second", "spread", "ratio", "p50 ms", "p99 ms", "CPU µs", "Postgres µs", "peak MiB", ""];
  return `${titles[workload]}${byDataVolume ? ", by data volume" : ""} (Node ${node})\n${aligned([head, ...rows])}`;
}

/** The targets as text: the bound, the median, the lowest and highest figure of the rounds, and the verdict. */
export function targetTable(targets: Target[], busy: boolean): string {
  const rows = targets.map((target) => {
    const { what, found, samples = [], bound, kind } = target;
    const digits = bound < 100 ? 2 : 0;
    return [
      what,
      `${kind === "at least" ? "≥" : "≤"} ${number(bound, bound < 100 ? 1 : 0)}`,
      found === undefined ? "–" : number(found, digits),
      spread(samples, digits),
      assess(target, busy),
    ];
  });
  return `Targets\n${aligned([["", "target", "found", "spread", ""], ...rows])}`;
}

/** The lowest and the highest figure. */
function spread(samples: number[], digits: number): string {
  const known = samples.filter((value) => !Number.isNaN(value));
  return known.length > 1 ? `${number(Math.min(...known), digits)}–${number(Math.max(...known), digits)}` : "";
}

/** Aligns columns: the first one to the left, the others to the right. */
export function aligned(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `  ${line}\n`)
    .join("");
}

export function number(value: number, digits = 0): string {
  if (Number.isNaN(value)) return "–";
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
