/** The chapter "Protect an Express API" works as it is written. */
import { execFile, spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { afterTest } from "../support/afterTest.ts";
import { freePorts } from "../support/ports.ts";
import { password, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const chapter = await readFile("docs/protect-an-express-api.md", "utf8");
const blocksOf = (language: string) =>
  [...chapter.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(([, code = ""]) => code);
const [register = "", credential = "", tryIt = "", revoke = ""] = blocksOf("sh");
const [before = "", after = ""] = blocksOf("js");
const [yaml = ""] = blocksOf("yaml");

test("an existing API is protected with at most twenty more lines", () => {
  const existing = new Set(before.split("\n"));
  const added = after.split("\n").filter((line) => line.trim() !== "" && !existing.has(line));
  const security = yaml.split("\n").filter((line) => /security|bearer/.test(line));
  expect(added.length).toBeGreaterThan(5);
  expect(added.length + security.length).toBeLessThanOrEqual(20);
});

test("the guard's scopes are enforced, and a revoked token is refused", { timeout: 60_000 }, async () => {
  const [port, apiPort] = await freePorts(2);
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url });
  await service.administrator("olivia");
  const written = (code: string) => code.replaceAll(sampleOrigin, url).replaceAll("3000", String(apiPort));

  // In this project, from which it can import its packages.
  const folder = join("build", `protectExpress-${port}`);
  await mkdir(folder, { recursive: true });
  afterTest(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "openapi.yaml"), yaml);
  await writeFile(join(folder, "server.js"), written(after));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');

  const home = await temporaryFolder();
  const mark = "-- the next block --";
  const env: NodeJS.ProcessEnv = { ...process.env, CURL_HOME: home, ADMIN: `olivia:${password}` };
  await writeFile(join(home, ".curlrc"), "silent\nshow-error\nmax-time = 20\n");
  const run = async (blocks: string[]) =>
    (await promisify(execFile)("sh", ["-ec", written(blocks.join(`\necho '${mark}'\n`))], { env })).stdout.split(mark);

  const [, , key = ""] = await run([register, credential, 'echo "$LATCHKEY_KEY"']);
  const server = spawn(process.execPath, ["server.js"], {
    cwd: folder,
    env: { ...process.env, LATCHKEY_KEY: key.trim() },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const exited = new Promise((resolve) => server.once("exit", resolve));
  afterTest(async () => {
    server.kill();
    await exited;
  });
  // Until it listens.
  while (server.exitCode === null && !(await fetch(`http://127.0.0.1:${apiPort}/`).catch(() => undefined)));

  const [tried = "", revoked = ""] = await run([tryIt, revoke]);
  const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  expect(statuses(tried)).toEqual(["401", "200", "403"]);
  expect(tried).toContain('"a latch"');
  expect(tried).toContain('scope="orders:write"');
  expect(statuses(revoked)).toEqual(["401"]);
  expect(revoked).toContain("/problems/token-revoked");
});
