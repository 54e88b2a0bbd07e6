import { afterAll, onTestFinished } from "vitest";

/** Tidies up after the test that is running, or after all of the file where none is. */
export function afterwards(tidyUp: () => unknown): void {
  try {
    onTestFinished(async () => void (await tidyUp()));
  } catch {
    afterAll(async () => void (await tidyUp()));
  }
}
