/** The commands and programs of the guide's chapter about machine clients work as written. */
import { execFile } from "node:child_process";
import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const folder = await temporaryFolder();
const service = await startTestService();
const chapter = (await readFile("docs/machine-clients.md", "utf8"))
  .replaceAll("/etc/nightly-report", folder)
  .replaceAll("http://127.0.0.1:8080", service.url);

/** The code below a heading, in its order. */
function codeOf(heading: string): string[] {
  const [, section = ""] = chapter.split(`\n## ${heading}\n`);
  return [...(section.split("\n## ")[0] ?? "").matchAll(/```(?:sh|ts)\n([\s\S]+?)```/g)].map(([, code = ""]) => code);
}

await writeFile(join(folder, "latchkey"), `#!/bin/sh\nexec ${process.execPath} ${resolve("dist/src/main.js")} "$@"\n`);
await chmod(join(folder, "latchkey"), 0o755);

/** Runs shell commands, in which `latchkey` is the built program. Returns their output, and that of each command as JSON. */
async function shell(commands: string, variables: Record<string, string> = {}) {
  const env = { PATH: `${folder}:${process.env["PATH"]}`, DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
  const { stdout } = await promisify(execFile)("sh", ["-euc", commands], { env: { ...env, ...variables } });
  const objects = stdout.split("\n").filter((line) => line.startsWith("{"));
  return { stdout, objects: objects.map((line) => JSON.parse(line)) };
}

/** Loads a TypeScript program of the guide, in this folder, from which it can import packages. */
async function load(name: string, code: string) {
  const file = join(import.meta.dirname, `${name}-${process.pid}.ts`);
  afterTest(() => rm(file));
  await writeFile(file, code);
  return import(/* @vite-ignore */ pathToFileURL(file).href);
}

test("a machine client has a key, a token for another API, and loses both", { timeout: 60_000 }, async () => {
  const basic = await service.administrator();
  const audience = "https://orders.example/v1";
  const scopes = [{ name: "orders:read", description: "See orders." }];
  await service.send("POST", "/api/apis", { basic, json: { audience, name: "Orders", scopes } });

  const [created = ""] = codeOf("Give it a user and a key");
  const { key, id: ID } = (await shell(created)).objects.at(-1);
  await writeFile(join(folder, "api-key"), `${key}\n`);

  const [script = ""] = codeOf("A cron job");
  expect((await shell(script)).stdout).toContain("Hello, nightly-report!");

  const { fetchWithKey } = await load("fetchWithKey", codeOf("A service")[0] ?? "");
  const isAccepted = async () => (await fetchWithKey(`${service.url}/api/resource`)).status;
  expect(await isAccepted()).toBe(200);

  const { orderToken } = await load("orderToken", codeOf("Call an API that accepts only tokens")[0] ?? "");
  expect(decodeJwt(await orderToken())).toMatchObject({
    aud: audience,
    scope: "orders:read",
    username: "nightly-report",
  });
  expect(await orderToken()).toBe(await orderToken());

  const rotated = (await shell(codeOf("Rotate the key")[0] ?? "", { ID })).objects;
  const [listed, { key: next }, shown] = rotated;
  expect([listed.id, shown.id]).toEqual([ID, ID]);
  expect(shown.secrets).toMatchObject([{ last_used_at: null }, {}]);
  expect(await isAccepted()).toBe(200);
  await writeFile(join(folder, "api-key"), next);
  expect(await isAccepted()).toBe(200);

  await shell(codeOf("End it")[0] ?? "", { ID });
  await expect.poll(isAccepted, { timeout: 10_000 }).toBe(401);
  await expect(shell(script)).rejects.toMatchObject({ code: 22, stdout: expect.stringContaining("/problems/") });
});
