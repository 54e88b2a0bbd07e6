import { defineConfig } from "vitest/config";

/** Failovers of a Postgres cluster with the files of deploy/ha/. They need Debian's patroni, etcd, haproxy and pgbouncer. */
export default defineConfig({
  test: {
    globalSetup: "test/support/ha/setup.ts",
    include: ["test/ha/*.test.ts"],
    fileParallelism: false,
    testTimeout: 480_000, // two waits for a complete cluster
    hookTimeout: 120_000,
  },
});
