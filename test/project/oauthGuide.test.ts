/** The commands of the guide's chapters about OAuth work as written. */
import { execFile } from "node:child_process";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const folder = await temporaryFolder();
const service = await startTestService();
await writeFile(join(folder, "latchkey"), `#!/bin/sh\nexec ${process.execPath} ${resolve("dist/src/main.js")} "$@"\n`);
await chmod(join(folder, "latchkey"), 0o755);

/** The commands below a heading of a chapter. */
async function commandsOf(name: string, heading: string): Promise<string> {
  const chapter = (await readFile(`docs/${name}.md`, "utf8")).replaceAll("http://127.0.0.1:8080", service.url);
  const section = chapter.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/```sh\n([\s\S]+?)```/g)].map(([, code]) => code).join("");
}

/** Runs commands, in which `latchkey` is the built program. @returns the objects that they print */
async function run(commands: string, variables: Record<string, string> = {}) {
  expect(commands).not.toBe("");
  const env = { PATH: `${folder}:${process.env["PATH"]}`, DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
  const { stdout } = await promisify(execFile)("sh", ["-euc", commands], { env: { ...env, ...variables } });
  return stdout
    .split("\n")
    .flatMap((line) => line.match(/\{.*\}/g) ?? [])
    .map((line) => JSON.parse(line));
}

test("a machine gets a token for an API, and another one for this service, until the client is deleted", async () => {
  const [, client] = await run(await commandsOf("client-credentials", "Register the client"));
  const variables = { CLIENT_ID: client.client_id, CLIENT_SECRET: client.client_secret };
  const [token] = await run(await commandsOf("client-credentials", "Get a token"), variables);
  expect(token).toMatchObject({ token_type: "Bearer", expires_in: 600, scope: "orders:read" });
  expect(decodeJwt(token.access_token)).toMatchObject({
    aud: "https://orders.example/v1",
    sub: client.client_id,
    client_id: client.client_id,
  });

  const [sync] = await run(await commandsOf("client-credentials", "Scopes of Latchkey itself"));
  const form = { grant_type: "client_credentials", client_id: sync.client_id, client_secret: sync.client_secret };
  const { json } = await service.send("POST", "/oauth/token", { form });
  expect((await service.send("GET", "/api/users", { bearer: json.access_token })).status).toBe(200);

  await run(await commandsOf("client-credentials", "Rotate the secret, delete the client"), {
    CLIENT_ID: sync.client_id,
  });
  await expect
    .poll(async () => (await service.send("GET", "/api/users", { bearer: json.access_token })).status, {
      timeout: 10_000,
    })
    .toBe(401);
});

test("the clients of the chapters for apps and tools can be registered, and a device gets a code", async () => {
  const apps = await run(await commandsOf("sign-in-with-latchkey", "Register the app"));
  expect(apps.map(({ client_secret }) => typeof client_secret)).toEqual(["string", "undefined"]);
  expect(await run(await commandsOf("cli-sign-in", "On the same machine"))).toHaveLength(1);

  const [create = "", ...requests] = (await commandsOf("cli-sign-in", "On another device")).split(/^(?=curl)/m);
  const [tool] = await run(create);
  const [begun] = await run(requests[0] ?? "", { CLIENT_ID: tool.client_id });
  expect(begun).toMatchObject({ user_code: expect.stringMatching(/^[B-Z]{4}-[B-Z]{4}$/), interval: 5 });
  const variables = { CLIENT_ID: tool.client_id, DEVICE_CODE: begun.device_code };
  expect(await run(requests[1] ?? "", variables)).toMatchObject([{ error: "authorization_pending" }]);
});
