import { defineConfig } from "vitest/config";
import { progress } from "../support/progress.ts";

/** Tests of real faults. One file at a time, because each loads the whole machine. */
export default defineConfig({
  plugins: [progress()],
  test: {
    globalSetup: "test/support/postgres.ts",
    include: ["test/faults/*.test.ts"],
    fileParallelism: false,
    // For test.concurrent: each planted fault has its own service and database.
    maxConcurrency: 2,
    // The programs with a planted fault are bundles.
    server: { deps: { external: [/\/build\/faulty\//] } },
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
