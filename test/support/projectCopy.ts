/** A copy of the source of this project, which a test changes as a developer would. */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import { temporaryFolder } from "./temporaryFolder.ts";

const notSource = new Set([".git", "bench", "build", "data", "dist", "node_modules"]);

export type ProjectCopy = {
  path: string;
  /** Runs a tool of node_modules/.bin. Returns its exit status and its output. */
  run(tool: string, ...args: string[]): Promise<{ status: number; output: string }>;
  /** Replaces the first occurrence of a text, which must exist. */
  edit(file: string, before: string, after: string): Promise<void>;
  write(file: string, text: string): Promise<void>;
};

/** Makes a copy, and removes it after the test. */
export async function copyProject(): Promise<ProjectCopy> {
  const path = await temporaryFolder();
  await cp(".", path, { recursive: true, filter: (file) => !notSource.has(basename(file)) });
  await symlink(resolve("node_modules"), join(path, "node_modules"));
  return {
    path,
    run: (tool, ...args) =>
      promisify(execFile)(join(path, "node_modules/.bin", tool), args, {
        cwd: path,
        maxBuffer: 2 ** 26,
        timeout: 400_000,
      }).then(
        ({ stdout, stderr }) => ({ status: 0, output: stdout + stderr }),
        ({ code, stdout, stderr }) => ({ status: code, output: stdout + stderr }),
      ),
    async edit(file, before, after) {
      const text = await readFile(join(path, file), "utf8");
      expect(text).toContain(before);
      await writeFile(
        join(path, file),
        text.replace(before, () => after),
      );
    },
    async write(file, text) {
      await mkdir(dirname(join(path, file)), { recursive: true });
      await writeFile(join(path, file), text);
    },
  };
}

/** Expects in the JSON report of Vitest that the named tests have run and passed, and that no test failed. */
export async function expectPassed({ path }: ProjectCopy, report: string, names: string[]): Promise<void> {
  const { testResults } = JSON.parse(await readFile(join(path, report), "utf8")) as { testResults: TestFile[] };
  expect(testResults.map(({ message }) => message).filter(Boolean)).toEqual([]);
  const ran = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = ran.filter(({ status }) => status === "failed");
  expect(failed.map(({ fullName, failureMessages }) => `${fullName}\n${failureMessages}`)).toEqual([]);
  const passed = ran.filter(({ status }) => status === "passed").map(({ fullName }) => fullName);
  for (const name of names) expect(passed).toContainEqual(expect.stringContaining(name));
}

/** The part of Vitest's report that is read here. */
type TestFile = {
  message: string;
  assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
};
