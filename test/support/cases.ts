/** Test cases as data: a title, and the function that checks it. */
import type { Operation } from "../../fuzz/contract/operations.ts";
import type { Sent } from "./client.ts";
import type { TestService } from "./service.ts";

/** Test functions by title. */
export type Cases = Record<string, () => unknown>;

/** Cases by the status that they observe. */
export type CasesByStatus = Record<number, Cases>;

/** An operation of the contract on a running service. */
export type OperationUnderTest = {
  service: TestService;
  operation: Operation;
  /** The path, with its parameters filled in. */
  target: string;
  /** Returns a request that succeeds. */
  request: () => Sent | Promise<Sent>;
  /** Whether the length of the response differs from one request to the next, so that a HEAD cannot be compared. */
  isVariable?: boolean | undefined;
};

/** Returns one case for each row. In the title, `%s` is replaced with the first value of the row. */
export function each<Row extends [label: unknown, ...unknown[]]>(
  title: string,
  rows: readonly Row[],
  check: (...row: Row) => unknown,
): Cases {
  const cases = rows.map((row) => [title.replace("%s", () => String(row[0])), () => check(...row)] as const);
  if (new Set(cases.map(([name]) => name)).size < cases.length) throw new Error(`Two cases have the title: ${title}`);
  return Object.fromEntries(cases);
}

/** Merges lists of cases. Throws if two cases of one status have the same title. */
export function mergeCases(...lists: CasesByStatus[]): CasesByStatus {
  const merged: CasesByStatus = {};
  for (const [status, cases] of lists.flatMap((list) => Object.entries(list))) {
    merged[Number(status)] ??= {};
    const known = merged[Number(status)] as Cases;
    for (const [title, check] of Object.entries(cases)) {
      if (title in known) throw new Error(`${status}: two cases have the title: ${title}`);
      known[title] = check;
    }
  }
  return merged;
}

export function withoutCredentials({ basic: _basic, bearer: _bearer, ...rest }: Sent): Sent {
  return rest;
}

/** The status of success that the operation declares. */
export function successOf({ operation: { id, statuses } }: OperationUnderTest): number {
  const success = statuses.find((status) => status < 300 || status === 303);
  if (success === undefined) throw new Error(`${id} declares no success.`);
  return success;
}
