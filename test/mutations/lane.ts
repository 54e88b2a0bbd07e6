/**
 * Runs tests in the current directory, a copy of the project, for the parent process. Vitest and its Postgres keep running
 * between requests, because their start takes longer than most tests.
 */
import { resolve } from "node:path";
import { createVitest, type TestModule } from "vitest/node";

/** `changed`: the files that were edited since the last run. */
export type Run = { changed: string[]; test: string; only: string };
/**
 * `failed`: the names of failed tests. `passed`: the number of passed tests. `errors`: errors outside of tests, such as a
 * syntax error. `reasons`: the errors of failed tests.
 */
export type RunResult = { failed: string[]; passed: number; errors: string[]; reasons: string[] };

const folder = process.cwd();
const vitest = await createVitest("test", {
  config: false,
  root: folder,
  watch: false,
  include: ["test/{operations,promises,project,faults}/*.test.ts"],
  globalSetup: "test/support/postgres.ts",
  reporters: [{}],
  silent: true,
  bail: 1,
  maxWorkers: 1,
  testTimeout: 30_000,
  hookTimeout: 30_000,
});
await vitest.standalone();

async function run({ changed, test, only }: Run): Promise<RunResult> {
  for (const file of changed) vitest.invalidateFile(resolve(file));
  // Failures of earlier runs would count towards `bail`.
  vitest.state.filesMap.clear();
  vitest.setGlobalTestNamePattern(new RegExp(only));
  const specification = vitest.getRootProject().createSpecification(resolve(test));
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications([specification]);
  const tests = testModules.flatMap((module) => [...module.children.allTests()]);
  const failed = tests.filter((each) => each.result().state === "failed");
  return {
    failed: failed.map(({ fullName }) => fullName),
    passed: tests.filter((each) => each.result().state === "passed").length,
    errors: [...testModules.flatMap(errorsOutsideTests), ...unhandledErrors.map(describe)],
    reasons: failed.flatMap((each) => each.result().errors ?? []).map(describe),
  };
}

/** Errors in the collection and in hooks. */
const errorsOutsideTests = (module: TestModule): string[] =>
  [module, ...module.children.allSuites()].flatMap((part) => part.errors()).map(describe);

const describe = (error: unknown): string => {
  const { name, message } = error as { name?: string; message?: string };
  return `${name ?? "Error"}: ${message ?? String(error)}`;
};

let running: Promise<unknown> = Promise.resolve();
process.on("message", (request: Run) => {
  running = run(request).then(
    (result) => process.send?.(result),
    (error: unknown) => process.send?.({ failed: [], passed: 0, errors: [describe(error)], reasons: [] }),
  );
});
// A terminal sends SIGINT to the parent as well, which handles it.
process.on("SIGINT", () => {});
process.once("disconnect", () => {
  void running.then(() => vitest.close()).finally(() => process.exit());
});
process.send?.("ready");
