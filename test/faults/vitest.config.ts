import { defineConfig } from "vitest/config";
import { progress } from "../support/progress.ts";

/** Tests that mostly wait or start programs, and whose promises do not depend on the load of the machine. Two run at a time. */
const waiting = [
  "addOperation",
  "addOperations",
  "algorithmChanged",
  "embedded",
  "fuzzer",
  "logLost",
  "oauthInOtherLanguages",
  "operatorEndings",
  "publicPath",
  "pythonApi",
  "release",
  "restore",
  "serverReplaced",
  "slowCommits",
  "unhandledErrors",
  "verifyInOtherLanguages",
  "verifyInPython",
].map((name) => `test/faults/${name}.test.ts`);

/** Tests of real faults. The others run one file at a time, because each loads the whole machine. */
export default defineConfig({
  plugins: [progress()],
  test: {
    globalSetup: "test/support/postgres.ts",
    // For test.concurrent: each planted fault has its own service and database.
    maxConcurrency: 2,
    // The programs with a planted fault are bundles.
    server: { deps: { external: [/\/build\/faulty\//] } },
    testTimeout: 180_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: "waiting", include: waiting, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: "loading",
          include: ["test/faults/*.test.ts"],
          exclude: waiting,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
