import { defineConfig } from "vitest/config";
import { progress } from "./test/support/progress.ts";

const everyAnswer = "test/promises/everyAnswer.test.ts";

export default defineConfig({
  plugins: [progress()],
  test: {
    globalSetup: "test/support/postgres.ts",
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // What all the others saw is counted after them.
    projects: [
      {
        extends: true,
        test: {
          name: "tests",
          include: ["test/{operations,promises,project}/*.test.ts"],
          exclude: [everyAnswer],
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: "last", include: [everyAnswer], sequence: { groupOrder: 1 } } },
    ],
  },
});
