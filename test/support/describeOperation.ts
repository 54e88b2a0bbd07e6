/** The table form of test/operations/: one file for each operation, one case or more for each declared status. */
import { describe, expect, test } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import type { operations } from "../../generated/openapi.ts";
import { observedAnswers } from "./answers.ts";
import { type Cases, mergeCases, type OperationUnderTest } from "./cases.ts";
import { sharedCases } from "./sharedCases/sharedCases.ts";

export { each } from "./cases.ts";

export type OperationTable<Id extends keyof operations> = Omit<OperationUnderTest, "operation" | "target"> & {
  /** The request target. Default: the path of the contract, for operations without path parameters. */
  target?: string;
  /** The cases that are specific to this operation, by status and title. */
  cases: { [Status in keyof operations[Id]["responses"]]?: Cases };
};

const api = readApi("openapi.yaml");

/** A case of 408 waits for 8 seconds, so test/promises/slowBodies.test.ts has those of all operations, which wait together. */
const testedTogether = 408;

/**
 * Describes the tests of one operation: its own cases, and those that the contract implies for every operation
 * (sharedCases/). A case fails unless the operation answers with the status of the case. A declared status without a
 * case fails as well, except 408.
 */
export function describeOperation<Id extends keyof operations>(id: Id, table: OperationTable<Id>): void {
  const operation = api.operations.find((one) => one.id === id);
  if (!operation) throw new Error(`The contract has no operation ${id}.`);
  const target = table.target ?? operation.path;
  if (target.includes("{")) throw new Error(`${id}: the target needs a value for each path parameter.`);
  const { service, request, isVariable } = table;
  const shared = sharedCases({ service, operation, target, request, isVariable });
  const cases = mergeCases(table.cases as Record<number, Cases>, shared.byStatus);

  describe(`${operation.method} ${operation.path}`, () => {
    for (const status of operation.statuses.filter((one) => one !== testedTogether)) {
      const ofStatus = Object.entries(cases[status] ?? {});
      if (ofStatus.length === 0) {
        test(`${status} is declared and has a case`, () =>
          expect.fail(`${id} declares ${status}, and no case observes it.`));
      }
      for (const [title, check] of ofStatus) test(`${status} ${title}`, () => observing(id, status, check));
    }
    for (const [title, check] of Object.entries(shared.undeclared)) test(title, async () => void (await check()));
  });
}

/** Fails if the operation did not answer with that status while the case was running. */
async function observing(id: string, status: number, check: () => unknown): Promise<void> {
  const before = observedAnswers.length;
  await check();
  expect(observedAnswers.slice(before), "the answers that this case observed").toContain(`${id} ${status}`);
}
