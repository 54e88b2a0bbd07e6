/** Copies of the project in which tests run, so that the working tree never contains an edit. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import ts from "typescript";
import type { Run, RunResult } from "./lane.ts";
import { edit, type Mutation } from "./mutation.ts";

export type Lane = {
  /**
   * Runs the tests of a mutation, with or without its edit, in a new process or in that of the previous run.
   * @throws {Error} if the search text does not occur exactly once, or the tests time out
   */
  run(mutation: Mutation, options: { isEdited: boolean; isFresh: boolean }): Promise<RunResult>;
  close(): Promise<void>;
};

/** A run that takes longer hangs. */
const runTimeoutMs = 120_000;
const notCopied = new Set(["node_modules", ".git", "build", "data", "bench"]);

/** Creates a copy of the project, with its own Vitest and Postgres. */
export async function openLane(): Promise<Lane> {
  const folder = await mkdtemp(join(tmpdir(), "latchkey-mutate-"));
  await cp(".", folder, { recursive: true, filter: (path) => !notCopied.has(path) });
  await symlink(resolve("node_modules"), join(folder, "node_modules"));
  let child = await start(folder);
  let editedBefore: string[] = [];

  /** Writes a source file, and the compiled module in dist/, which tests of the program run. */
  const write = async (file: string, text: string): Promise<void> => {
    await writeFile(join(folder, file), text);
    const compiled = join(folder, "dist", file.replace(/ts$/, "js"));
    if (existsSync(compiled)) await writeFile(compiled, transpiled(text));
  };
  const ask = async (request: Run): Promise<RunResult> => {
    child.send(request);
    try {
      const [result] = await once(child, "message", { signal: AbortSignal.timeout(runTimeoutMs) });
      return result as RunResult;
    } catch (cause) {
      child.kill("SIGKILL");
      child = await start(folder);
      throw new Error(`The tests did not end within ${runTimeoutMs / 1000} s.`, { cause });
    }
  };
  return {
    async run(mutation, { isEdited, isFresh }) {
      const { file, test, only } = mutation;
      if (!isEdited) return ask({ changed: editedBefore.splice(0), test, only, isFresh });
      const original = await readFile(file, "utf8");
      await write(file, edit(mutation, original));
      const changed = [...editedBefore, file];
      editedBefore = [file];
      try {
        return await ask({ changed, test, only, isFresh });
      } finally {
        await write(file, original);
      }
    },
    async close() {
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function start(folder: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, "lane.ts"), {
    cwd: folder,
    execArgv: ["--import", import.meta.resolve("tsx")],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const ended = once(child, "exit").then(([status]) => {
    throw new Error(`Vitest exited with status ${status} before it ran tests.`);
  });
  ended.catch(() => {});
  await Promise.race([once(child, "message"), ended]);
  return child;
}

const transpiled = (text: string): string =>
  ts.transpileModule(text, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
  }).outputText;
