/** A deliberate fault: an edit of a source file, and the tests that must detect it. */
export type Mutation = {
  /** The effect of the fault, as in a bug report. Unique. */
  name: string;
  file: string;
  /** Occurs exactly once in the file. Keep it short, so that unrelated changes do not affect it. */
  find: string;
  replace: string;
  /** The test file. Choose the fastest one that detects the fault. */
  test: string;
  /** A regular expression for the full names of the tests to run. */
  only: string;
};

/**
 * Applies an edit to the text of its file.
 * @throws {Error} if `find` does not occur exactly once
 */
export function edit({ file, find, replace }: Mutation, text: string): string {
  const count = text.split(find).length - 1;
  if (count === 1) return text.replace(find, () => replace);
  throw new Error(`${file} contains the search text ${count} times instead of once: ${find}`);
}
