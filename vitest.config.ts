import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { progress } from "./test/support/progress.ts";

/** These run after all other files, and check which answers those observed and which SQL statements they executed. */
const last = ["test/promises/everyAnswer.test.ts", "test/promises/everyStatement.test.ts"];

/**
 * Tests that read the time, but need not run alone. They mostly wait for programs that they start, and the times that they
 * allow are several times what those need.
 */
const patient = ["algorithmChange", "commandLine", "keyRotation", "shutdown", "tls", "tracing", "verifierKeySet"].map(
  (name) => `test/promises/${name}.test.ts`,
);

/**
 * Tests that run alone, because others at the same time would change what they measure: those that read the time, memory or CPU
 * time, and those whose requests need all cores.
 */
const alone = [
  ...readdirSync("test/promises")
    .map((name) => `test/promises/${name}`)
    .filter((file) => /performance\.now\(|memoryUsage\(|cpuUsage\(/.test(readFileSync(file, "utf8")))
    .filter((file) => !patient.includes(file)),
  ...[
    "clocks",
    "fairConnections",
    "fairEstimates",
    "guessLimits",
    "metrics",
    "passwordRaces",
    "refreshNeverRaces",
    "throttling",
  ].map((name) => `test/promises/${name}.test.ts`),
];

/**
 * The tests of `npm test` and `npm run test:project`, in groups one after the other. Tests that measure run one file at a time; the
 * others keep two cores busy. Most files share the modules that their worker has loaded: they have no state in common but that of
 * their databases. The configurations of the other kinds of tests are in their folders.
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
          testTimeout: 60_000, // most start programs
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "promises",
          include: ["test/promises/*.test.ts"],
          exclude: [...alone, ...last],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: "alone", include: alone, isolate: false, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
      { extends: true, test: { name: "last", include: last, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});
