/** A run prints its progress after each test file, whichever reporters it has. */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { temporaryFolder } from "../support/temporaryFolder.ts";

test("progress is printed with the reporters of continuous integration", async () => {
  const options = ["--reporter=default", "--reporter=json", "--outputFile.json=report.json"];
  const folder = await temporaryFolder();
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  const ofProject = (name: string) => `{ extends: true, test: { name: "${name}", include: ["${name}.test.js"] } }`;
  await writeFile(
    join(folder, "vitest.config.js"),
    `import { progress } from ${JSON.stringify(resolve("test/support/progress.ts"))};
     export default { plugins: [progress()], test: { globals: true, projects: [${ofProject("one")}, ${ofProject("two")}] } };`,
  );
  await writeFile(join(folder, "one.test.js"), 'test("passes", () => {});');
  await writeFile(join(folder, "two.test.js"), 'throw new Error("cannot be loaded");');
  const vitest = spawn(process.execPath, [resolve("node_modules/vitest/vitest.mjs"), "run", ...options], {
    cwd: folder,
    env: { ...process.env, VITEST: undefined, NODE_ENV: undefined },
  });
  const [output, lines] = await Promise.all([text(vitest.stdout), text(vitest.stderr)]);
  expect(lines.match(/^\d of \d test files done .*$/gm)).toEqual([
    expect.stringMatching(/^1 of 2 test files done \(50 %\) after \d+ s$/),
    expect.stringMatching(/^2 of 2 test files done \(100 %\) after \d+ s$/),
  ]);
  expect(output).toMatch(/Test Files.*1 failed.*1 passed/);
  expect(JSON.parse(await readFile(join(folder, "report.json"), "utf8"))).toMatchObject({ numPassedTests: 1 });
});
