/**
 * Runs tests in the current directory, a copy of the project, for the parent process. Vitest and its Postgres keep running
 * between requests, because their start takes longer than most tests.
 */
import { resolve } from "node:path";
import {
  createVitest,
  ForksPoolWorker,
  type PoolRunnerInitializer,
  type TestModule,
  type WorkerResponse,
} from "vitest/node";

/** `changed`: the files that were edited since the last run. `isFresh`: whether the tests run in a new process. */
export type Run = { changed: string[]; test: string; only: string; isFresh: boolean };
/**
 * `failed`: the names of failed tests. `passed`: the number of passed tests. `errors`: errors outside of tests, such as a
 * syntax error. `reasons`: the errors of failed tests.
 */
export type RunResult = { failed: string[]; passed: number; errors: string[]; reasons: string[] };

/** The process that runs the tests. */
let kept: ForksPoolWorker | undefined;
/** The files that the next run reads again. */
let invalidates: string[] = [];

/**
 * Keeps the process that runs the tests. Vitest would start another one for each run, and loading the packages takes longer than
 * most tests. The modules of the project are loaded anew for each run.
 */
const keptProcess: PoolRunnerInitializer = {
  name: "kept-process",
  createPoolWorker(options) {
    const isNew = kept === undefined;
    kept ??= new ForksPoolWorker(options);
    const worker = kept;
    const listeners: [event: string, listener: (message: unknown) => void][] = [];
    const respond = (type: "started" | "stopped") => {
      const response: WorkerResponse = { type, __vitest_worker_response__: true };
      for (const [event, listener] of listeners) if (event === "message") listener(response);
    };
    return {
      name: "kept-process",
      cacheFs: worker.cacheFs,
      async start() {
        if (!isNew) return;
        await worker.start();
        worker.on("exit", () => {
          if (kept === worker) kept = undefined;
        });
      },
      send(request) {
        if (request.type === "start" && !isNew) respond("started");
        else if (request.type === "stop") respond("stopped");
        else if (request.type !== "run") worker.send(request);
        else worker.send({ ...request, context: { ...request.context, invalidates } });
      },
      on(event, listener) {
        listeners.push([event, listener]);
        worker.on(event, listener);
      },
      off: (event, listener) => worker.off(event, listener),
      deserialize: (message) => worker.deserialize(message),
      async stop() {
        if (worker === kept) for (const [event, listener] of listeners) worker.off(event, listener);
      },
    };
  },
};

async function endProcess(): Promise<void> {
  const worker = kept;
  kept = undefined;
  await worker?.stop();
}

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
  pool: keptProcess,
  maxWorkers: 1,
  testTimeout: 30_000,
  hookTimeout: 30_000,
});
await vitest.standalone();

async function run({ changed, test, only, isFresh }: Run): Promise<RunResult> {
  if (isFresh) await endProcess();
  invalidates = changed.map((file) => resolve(file));
  for (const file of invalidates) vitest.invalidateFile(file);
  // Failures of earlier runs would count towards `bail`.
  vitest.state.filesMap.clear();
  const specification = vitest
    .getRootProject()
    .createSpecification(resolve(test), { testNamePattern: new RegExp(only) });
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
  void running
    .then(endProcess)
    .then(() => vitest.close())
    .finally(() => process.exit());
});
process.send?.("ready");
