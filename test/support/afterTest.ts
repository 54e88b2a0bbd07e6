import { afterAll, onTestFinished } from "vitest";

/** Runs a clean-up after the current test or, outside a test, after the test file. */
export function afterTest(cleanUp: () => unknown): void {
  try {
    onTestFinished(async () => void (await cleanUp()));
  } catch {
    afterAll(async () => void (await cleanUp()));
  }
}
