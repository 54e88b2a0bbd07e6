import { defineConfig } from "vitest/config";

/** The files of deploy/protect/ in the programs that they are for: Debian's nginx, caddy, haproxy and apache2 with mod_oauth2. Also mod_auth_openidc. */
export default defineConfig({
  test: {
    globalSetup: "test/support/postgres.ts",
    include: ["test/proxies/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
