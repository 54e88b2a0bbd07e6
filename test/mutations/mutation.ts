/** One deliberate fault: an edit of the service, and the tests that must notice it. */
export type Mutation = {
  /** What goes wrong, as a bug report would say it. Unique. */
  name: string;
  file: string;
  /** Occurs exactly once in the file. Keep it short, so that unrelated changes leave it alone. */
  find: string;
  replace: string;
  /** The file of the tests. Choose the fastest that notices the fault. */
  test: string;
  /** A regular expression for the full names of the tests to run. */
  only: string;
};

/**
 * Applies an edit to the text of its file.
 * @throws {Error} where the text to be replaced is not there exactly once
 */
export function edit({ file, find, replace }: Mutation, text: string): string {
  const count = text.split(find).length - 1;
  if (count === 1) return text.replace(find, () => replace);
  throw new Error(`${file} contains the search text ${count} times instead of once: ${find}`);
}
