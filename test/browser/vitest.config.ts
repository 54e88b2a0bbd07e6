import { defineConfig } from "vitest/config";
import { progress } from "../support/progress.ts";

/** Tests in a browser: that of CHROMIUM, or `chromium` on the path. */
export default defineConfig({
  plugins: [progress()],
  test: {
    globalSetup: "test/support/postgres.ts",
    include: ["test/browser/*.test.ts"],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
