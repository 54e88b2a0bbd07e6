/** Which of the declared answers were reached, and why the others were not. */

import type { Api, Operation } from "./contract/operations.ts";
import { undetectableFaults } from "./plantedFaults/undetectable.ts";
import type { FuzzResult } from "./run.ts";

const reasons: [(status: number, operation: Operation, isOwn: boolean) => boolean, string][] = [
  [(status) => status === 408, "a body that does not arrive takes 8 seconds; test/support/sharedCases.ts sends such"],
  [(status, _, isOwn) => !isOwn && [429, 500, 503].includes(status), "the service at --url is not taken anything away"],
  [
    (status, { schemes }) => status === 500 && schemes.length > 0 && !schemes.includes("basic"),
    "a token is checked without the tables that are broken",
  ],
  [(status, { statuses }, isOwn) => status === 404 && statuses.includes(304) && !isOwn, "DOCUMENTATION is on at --url"],
];

/** @returns a line for each kind of fault that no request can show */
export const undetectableLines = (): string[] =>
  undetectableFaults.map(({ name, why }) => `cannot be found: ${name}: ${why}`);

/** @returns a line for each operation with declared answers that were not reached, and the sum of all */
export function coverageOf({ operations }: Api, { statuses }: Pick<FuzzResult, "statuses">, isOwn: boolean): string[] {
  let [reached, declared] = [0, 0];
  const lines = operations.flatMap((operation) => {
    const missed = operation.statuses.filter((status) => !statuses.get(operation.id)?.has(status));
    declared += operation.statuses.length;
    reached += operation.statuses.length - missed.length;
    return missed.map((status) => {
      const reason =
        reasons.find(([applies]) => applies(status, operation, isOwn))?.[1] ?? "not reached by these requests";
      return `not reached: ${operation.id} ${status}: ${reason}`;
    });
  });
  return [...lines, `${reached} of ${declared} declared answers were reached`];
}
