/** The files in .github/ are valid YAML, and use only commands and files that exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

type Step = { uses?: string; run?: string };
type Workflow = { permissions?: object; jobs: Record<string, { uses?: string; steps?: Step[] }> };
type Field = { type: string; id?: string; attributes: { label?: string; value?: string } };

const read = (path: string): unknown => parse(readFileSync(path, "utf8"), { strict: true, uniqueKeys: true });
const files = readdirSync(".github", { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".yml"))
  .map((file) => join(".github", file));
const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> };

test.each(files)("%s is valid YAML", (file) => {
  expect(read(file)).toEqual(expect.any(Object));
});

describe.each(files.filter((file) => file.includes("workflows/")))("%s", (file) => {
  const { permissions, jobs } = read(file) as Workflow;
  const steps = Object.values(jobs).flatMap((job) => [{ ...(job.uses && { uses: job.uses }) }, ...(job.steps ?? [])]);

  test("pins actions to a version, and refers to workflows that exist", () => {
    for (const { uses } of steps.filter((step: Step) => step.uses)) {
      if (uses?.startsWith("./")) expect(existsSync(uses)).toBe(true);
      else expect(uses).toMatch(/^[\w-]+\/[\w-]+@v\d+(\.\d+)*$/);
    }
  });

  test("runs only scripts that exist, with no more rights than to read", () => {
    expect(permissions).toEqual({ contents: "read" });
    const commands = steps.map((step: Step) => step.run ?? "").join("\n");
    for (const [, name] of commands.matchAll(/npm run (?:--silent )?([\w:]+)/g))
      expect(scripts).toHaveProperty([name ?? ""]);
    for (const [path] of commands.matchAll(/^\.ci\/\w+/gm)) expect(existsSync(path)).toBe(true);
  });
});

test("CI runs .ci/run, and a release waits for it", () => {
  const { jobs } = read(".github/workflows/ci.yml") as Workflow;
  expect(Object.values(jobs).flatMap(({ steps }) => steps)).toContainEqual({ run: ".ci/run" });
  expect(read(".github/workflows/release.yml")).toMatchObject({
    jobs: { ci: { uses: "./.github/workflows/ci.yml" }, publish: { needs: "ci" } },
  });
});

test.each(["bug", "feature"])("the issue form %s has labelled fields with unique ids", (name) => {
  const form = read(`.github/ISSUE_TEMPLATE/${name}.yml`) as { name: string; description: string; body: Field[] };
  expect(form).toMatchObject({ name: expect.any(String), description: expect.any(String) });
  const fields = form.body.filter(({ type }) => type !== "markdown");
  for (const field of fields)
    expect(field).toMatchObject({ id: expect.any(String), attributes: { label: expect.any(String) } });
  expect(new Set(fields.map(({ id }) => id)).size).toBe(fields.length);
});
