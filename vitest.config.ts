import { defineConfig } from "vitest/config";
import { progress } from "./test/support/progress.ts";

/** These run after all other files, and check which answers those observed and which SQL statements they executed. */
const last = ["test/promises/everyAnswer.test.ts", "test/promises/everyStatement.test.ts"];

/**
 * The tests of `npm test`, in groups one after the other. Tests with time bounds run one file at a time; the others keep two
 * cores busy. The configurations of the slower kinds of tests are in their folders.
 */
export default defineConfig({
  plugins: [progress()],
  test: {
    globalSetup: "test/support/postgres.ts",
    testTimeout: 20_000,
    hookTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: "operations",
          include: ["test/operations/*.test.ts"],
          // The files have no state in common but that of their databases: a worker loads the service once.
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "project",
          include: ["test/project/*.test.ts"],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "promises",
          include: ["test/promises/*.test.ts"],
          exclude: last,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      { extends: true, test: { name: "last", include: last, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});
