/** What a run found, for people and for programs. */
import type { Work } from "./contenders.ts";
import { type Result, ratio } from "./measure.ts";
import type { Start } from "./start.ts";
import { judge, type Target } from "./verdict.ts";
import { titles } from "./workloads.ts";

/** Contenders of one kind of work, in the same rounds. */
export type Series = { work: Work; node: string; growth: boolean; results: Result[] };

export type Report = {
  date: string;
  quick: boolean;
  machine: string;
  /** Whether other programs used the machine when the run began. */
  busy: boolean;
  versions: Record<string, string>;
  series: Series[];
  starts: Start[];
};

/** A series as lines of text; `ratio` is to Latchkey's rate, or in a series of growth to the first one's. */
export function table({ work, node, growth, results }: Series): string {
  const reference = results.find(({ name }) => name === "Latchkey") ?? results[0];
  const rows = results.map((result) => [
    result.name,
    number(result.perSecond),
    `${number(Math.min(...result.rates))}–${number(Math.max(...result.rates))}`,
    reference ? ratio(result, reference).toFixed(2) : "",
    number(result.p50Ms, 2),
    number(result.p99Ms, 2),
    number(result.cpuMicros),
    number(result.databaseMicros),
    number(result.peakMemoryBytes / 2 ** 20),
    result.failed === 0 ? "" : `${result.failed} FAILED`,
  ]);
  const head = ["", "a second", "rounds", "ratio", "p50 ms", "p99 ms", "CPU µs", "Postgres µs", "peak MiB", ""];
  return `${titles[work]}${growth ? ", with more and more kept" : ""} (Node ${node})\n${aligned([head, ...rows])}`;
}

/**
 * The targets as lines of text, with the least and the most of the rounds.
 * @param busy whether other programs used the machine
 */
export function verdicts(all: Target[], busy: boolean): string {
  const rows = all.map((target) => {
    const { what, found, samples = [], bound, kind } = target;
    const verdict = judge(target, busy);
    const short = (value: number) => number(value, value < 100 ? 2 : 0);
    return [
      what,
      found === undefined ? "–" : short(found),
      samples.length > 1 ? `${short(Math.min(...samples))}–${short(Math.max(...samples))}` : "",
      kind,
      number(bound, bound < 100 ? 1 : 0),
      verdict,
    ];
  });
  return `Targets\n${aligned([["", "found", "rounds", "", "bound", ""], ...rows])}`;
}

/** Columns of text, all but the first one to the right. */
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
