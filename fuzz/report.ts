/** What a run prints: the responses by operation, the declared responses that it did not observe, and the failure. */
import type { Api, Operation } from "./contract/operations.ts";
import { needsFlow } from "./generators/flows.ts";
import { undetectableFaults } from "./plantedFaults/undetectable.ts";
import type { Failure, FuzzResult } from "./run.ts";

/** Returns a line for each operation, with the number of responses by status. */
export function statusLines({ statuses }: FuzzResult): string[] {
  return [...statuses]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([operation, counts]) => {
      const cells = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
      return `${operation.padEnd(18)} ${cells.join(", ")}`;
    });
}

/** Returns a line for each kind of fault that no request can reveal. */
export const undetectableLines = (): string[] =>
  undetectableFaults.map(({ name, reason }) => `cannot be detected: ${name}: ${reason}`);

/** Why a declared response may be missing. `isOwn`: the fuzzer has started the service. */
const reasons: [
  applies: (status: number, operation: Operation, isOwn: boolean, api: Api) => boolean,
  reason: string,
][] = [
  [
    (status) => status === 408,
    "the service waits 8 seconds for a body; test/support/sharedCases/bodies.ts sends such requests",
  ],
  [
    (status, operation, _, api) => [429, 500, 503].includes(status) && needsFlow(api, operation),
    "no flow is played on a degraded service; test/operations/ has such requests",
  ],
  [(status, _, isOwn) => !isOwn && [429, 500, 503].includes(status), "the service of --url keeps its database"],
  [
    (status, { schemes }) => status === 500 && schemes.length > 0 && !schemes.includes("basic"),
    "a token is verified without the tables that are broken",
  ],
  [(status, { statuses }, isOwn) => status === 404 && statuses.includes(304) && !isOwn, "--url has DOCUMENTATION=on"],
];

/** Returns a line for each declared response that was not observed, and a line with the total. */
export function coverageLines(api: Api, { statuses }: Pick<FuzzResult, "statuses">, isOwn: boolean): string[] {
  let [observed, declared] = [0, 0];
  const lines = api.operations.flatMap((operation) => {
    const missed = operation.statuses.filter((status) => !statuses.get(operation.id)?.has(status));
    declared += operation.statuses.length;
    observed += operation.statuses.length - missed.length;
    return missed.map((status) => {
      const [, reason = "these requests did not cause it"] =
        reasons.find(([applies]) => applies(status, operation, isOwn, api)) ?? [];
      return `not observed: ${operation.id} ${status}: ${reason}`;
    });
  });
  return [...lines, `${observed} of ${declared} declared responses were observed`];
}

/** Returns what is wrong, the curl commands that show it, and the command that repeats the run. */
export function failureLines({ what, curl, seed, path, promise }: Failure): string[] {
  const repeat = promise !== undefined ? `--promise ${promise}` : `--seed ${seed}${path && ` --path ${path}`}`;
  return ["", what, "", ...curl, "", `Repeat with: npm run fuzz -- ${repeat}`];
}
