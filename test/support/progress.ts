/** Prints the number of finished test files after each file, whichever reporters a run has. */
import type { Reporter, VitestPluginContext } from "vitest/node";

/** @param write receives each line. Default: standard error, because a JSON report may go to standard output */
export function progressReporter(write = (line: string): unknown => process.stderr.write(line)): Reporter {
  let total = 0;
  let done = 0;
  let startedAt = 0;
  return {
    onTestRunStart(specifications) {
      total = specifications.length;
      done = 0;
      startedAt = performance.now();
    },
    onTestModuleEnd() {
      done += 1;
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      write(`${done} of ${total} test files done (${Math.floor((done / total) * 100)} %) after ${seconds} s\n`);
    },
  };
}

const name = "latchkey:progress";

/** A plugin, because `--reporter` on the command line replaces the reporters of a configuration. */
export function progress() {
  return {
    name,
    configureVitest({ vitest }: VitestPluginContext) {
      const reporters = vitest.config.reporters as unknown[];
      // Each project of a configuration has its own copy of this plugin, and all report to the same reporters.
      const isThere = reporters.some((reporter) => (reporter as { name?: unknown }).name === name);
      if (!isThere) reporters.push({ name, ...progressReporter() });
    },
  };
}
