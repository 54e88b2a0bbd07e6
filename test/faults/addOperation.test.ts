/**
 * Follows "Add an operation" of CONTRIBUTING.md in a copy of this project, with the snippets of that page. The operation is
 * then typed, served, documented, in the collection and fuzzed, without any other change.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { copyProject, expectPassed } from "../support/projectCopy.ts";

const project = await copyProject();
const { path: copy, run, edit } = project;

const indented = (text: string, by: number) => text.replace(/^(?=.)/gm, " ".repeat(by));

/** The code blocks of a section of CONTRIBUTING.md, without the indentation of the list. */
async function snippetsOf(section: string): Promise<string[]> {
  const [, text = ""] = (await readFile("CONTRIBUTING.md", "utf8")).split(`\n## ${section}\n`);
  const [own = ""] = text.split("\n## ");
  return [...own.matchAll(/^( *)```\w+\n([\s\S]*?)^ *```$/gm)].map(([, indent = "", block = ""]) =>
    block.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  );
}

test("an operation can be added as CONTRIBUTING.md describes", { timeout: 600_000 }, async () => {
  const [operation = "", schema = "", handler = "", ownTest = "", ...others] = await snippetsOf("Add an operation");
  expect(others).toEqual([]);

  await edit("openapi.yaml", "\npaths:\n", `\npaths:\n${indented(operation, 2)}\n`);
  await edit("openapi.yaml", "\n  schemas:\n", `\n  schemas:\n${indented(schema, 4)}\n`);
  expect(await run("tsx", "scripts/generate.ts")).toEqual({ status: 0, output: "" });
  expect(await run("redocly", "lint", "openapi.yaml")).toMatchObject({ status: 0 });

  const compile = () =>
    run(
      "tsc",
      "-p",
      "tsconfig.build.json",
      "--noEmit",
      "--declaration",
      "false",
      "--incremental",
      "--tsBuildInfoFile",
      "types",
    );
  const unhandled = await compile();
  expect(unhandled.output).toMatch(/^src\/operations\.ts\(.+Property 'listOrders' is missing/);
  expect(
    unhandled.output
      .trim()
      .split("\n")
      .filter((line) => line.startsWith("src/")),
  ).toHaveLength(1);

  await mkdir(join(copy, "src/orders"));
  await writeFile(join(copy, "src/orders/handlers.ts"), handler);
  await edit(
    "src/operations.ts",
    "import { getResource }",
    'import { listOrders } from "./orders/handlers.ts";\nimport { getResource }',
  );
  await edit("src/operations.ts", "  getResource,\n", "  getResource,\n  listOrders,\n");
  expect(await compile()).toEqual({ status: 0, output: "" });

  expect(await run("tsx", "scripts/build-docs.ts")).toMatchObject({ status: 0 });
  const page = await readFile(join(copy, "dist/docs.html"), "utf8");
  const [, shown = ""] = /^\s*const __redoc_definition = (.+);$/m.exec(page) ?? [];
  const documented = JSON.parse(shown).paths["/api/orders"].get;
  expect(documented.summary).toBe("List your orders");
  const languages = documented["x-codeSamples"].map(({ lang }: { lang: string }) => lang);
  expect(languages).toEqual(["bash", "javascript", "python", "go"]);

  // Its own test, and those of every operation: the whole collection, and the fuzzer until each operation has succeeded.
  await writeFile(join(copy, "test/operations/listOrders.test.ts"), ownTest);
  const names = "GET /api/orders|every operation is answered|random requests find nothing";
  const report = ["--reporter=json", "--outputFile=tests.json"];
  const tests = await run("vitest", "run", "listOrders", "collection", "fuzz", "-t", names, ...report);
  await expectPassed(project, "tests.json", names.split("|"));
  expect(tests).toMatchObject({ status: 0 });
});
