import { defineConfig } from "vitest/config";
import { progress } from "./test/support/progress.ts";

/** What breaks things for real and takes its time: one at a time, since each wants the machine for itself. */
export default defineConfig({
  plugins: [progress()],
  test: {
    globalSetup: "test/support/postgres.ts",
    include: ["test/faults/*.test.ts"],
    fileParallelism: false,
    // Of test.concurrent: the planted faults, each with a service and a database of its own.
    maxConcurrency: 2,
    // Programs with a planted fault: built already, and each with modules of its own.
    server: { deps: { external: [/\/build\/faulty\//] } },
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
