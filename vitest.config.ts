import { defineConfig } from "vitest/config";
import { progress } from "./test/support/progress.ts";

/** They run after all others, and check what these did. */
const last = ["test/promises/everyAnswer.test.ts", "test/promises/everyStatement.test.ts"];

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
          name: "tests",
          include: ["test/{operations,promises,project}/*.test.ts"],
          exclude: last,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: "last", include: last, sequence: { groupOrder: 1 } } },
    ],
  },
});
