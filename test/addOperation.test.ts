/**
 * An operation is added to a copy of this project as the README says, with the README's own snippets, and is then
 * typed, served, documented, in the collection and fuzzed, without another line.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { afterwards } from "./support/afterwards.ts";

/** What is made or installed, and what is nobody's source. */
const notSource = new Set([".git", "bench", "build", "data", "dist", "node_modules"]);

const copy = await mkdtemp(join(tmpdir(), "latchkey-copy-"));
afterwards(() => rm(copy, { recursive: true }));
await cp(".", copy, { recursive: true, filter: (path) => !notSource.has(basename(path)) });
await symlink(resolve("node_modules"), join(copy, "node_modules"));

/** Runs one of the project's tools in the copy. @returns its exit status, and all that it said */
async function run(tool: string, ...args: string[]): Promise<{ status: number; output: string }> {
  const options = { cwd: copy, maxBuffer: 2 ** 26, timeout: 120_000 };
  return promisify(execFile)(join(copy, "node_modules/.bin", tool), args, options).then(
    ({ stdout, stderr }) => ({ status: 0, output: stdout + stderr }),
    ({ code, stdout, stderr }) => ({ status: code, output: stdout + stderr }),
  );
}

async function edit(file: string, before: string, after: string): Promise<void> {
  const text = await readFile(join(copy, file), "utf8");
  expect(text).toContain(before);
  await writeFile(
    join(copy, file),
    text.replace(before, () => after),
  );
}

const indented = (text: string, by: number) => text.replace(/^(?=.)/gm, " ".repeat(by));

/** The blocks of a section of the README, without the indent that they have in a list. */
async function snippetsOf(section: string): Promise<string[]> {
  const [, text = ""] = (await readFile("README.md", "utf8")).split(`\n## ${section}\n`);
  const [own = ""] = text.split("\n## ");
  return [...own.matchAll(/^( *)```\w+\n([\s\S]*?)^ *```$/gm)].map(([, indent = "", block = ""]) =>
    block.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  );
}

test("the README's operation", { timeout: 300_000 }, async () => {
  const [operation = "", schema = "", handler = "", ownTest = "", ...others] = await snippetsOf("Add an operation");
  expect(others).toEqual([]);

  await edit("openapi.yaml", "\npaths:\n", `\npaths:\n${indented(operation, 2)}\n`);
  await edit("openapi.yaml", "\n  schemas:\n", `\n  schemas:\n${indented(schema, 4)}\n`);
  expect(await run("tsx", "scripts/generate.ts")).toEqual({ status: 0, output: "" });
  expect(await run("redocly", "lint", "openapi.yaml")).toMatchObject({ status: 0 });

  const unhandled = await run("tsc", "-p", "tsconfig.build.json", "--noEmit");
  expect(unhandled.output).toMatch(/^src\/handlers\.ts\(.+Property 'listOrders' is missing/);
  expect(
    unhandled.output
      .trim()
      .split("\n")
      .filter((line) => line.startsWith("src/")),
  ).toHaveLength(1);

  await mkdir(join(copy, "src/orders"));
  await writeFile(join(copy, "src/orders/handlers.ts"), handler);
  await edit(
    "src/handlers.ts",
    "import { getResource }",
    'import { listOrders } from "./orders/handlers.ts";\nimport { getResource }',
  );
  await edit("src/handlers.ts", "  getResource,\n", "  getResource,\n  listOrders,\n");
  expect(await run("tsc", "-p", "tsconfig.build.json", "--declaration", "false")).toEqual({ status: 0, output: "" });

  expect(await run("tsx", "scripts/build-docs.ts")).toMatchObject({ status: 0 });
  const page = await readFile(join(copy, "dist/docs.html"), "utf8");
  const [, shown = ""] = /^\s*const __redoc_definition = (.+);$/m.exec(page) ?? [];
  const documented = JSON.parse(shown).paths["/api/orders"].get;
  expect(documented.summary).toBe("List one's orders");
  const languages = documented["x-codeSamples"].map(({ lang }: { lang: string }) => lang);
  expect(languages).toEqual(["bash", "javascript", "python", "go"]);

  // Its own test, and those that go through all there is: the collection from top to bottom, and the fuzzer until each
  // operation has succeeded.
  await writeFile(join(copy, "test/listOrders.test.ts"), ownTest);
  const names = "GET /api/orders|every operation is answered|whatever is sent";
  const report = ["--reporter=json", "--outputFile=tests.json"];
  const tests = await run("vitest", "run", "listOrders", "collection", "fuzz", "-t", names, ...report);
  const { testResults } = JSON.parse(await readFile(join(copy, "tests.json"), "utf8")) as { testResults: TestFile[] };
  const ran = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = ran.filter(({ status }) => status === "failed");
  expect(failed.map(({ fullName, failureMessages }) => `${fullName}\n${failureMessages}`)).toEqual([]);
  expect(tests).toMatchObject({ status: 0 });
  const passed = ran.filter(({ status }) => status === "passed").map(({ fullName }) => fullName);
  for (const name of names.split("|")) expect(passed).toContainEqual(expect.stringContaining(name));
});

/** As much of Vitest's report as is looked at here. */
type TestFile = {
  assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
};
