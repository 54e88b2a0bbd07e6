import { Problem } from "../problems/problems.ts";

const maxAttempts = 5;

/**
 * Repeats a change that depends on what it has read, until no other change comes first.
 * @param change returns `undefined` if another change came first
 * @throws {Problem} `overloaded` if another change came first each time
 */
export async function retryOnConflict<Result>(change: () => Promise<Result | undefined>): Promise<Result> {
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const result = await change();
    if (result !== undefined) return result;
  }
  throw new Problem("overloaded");
}
