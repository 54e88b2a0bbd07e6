/** The commands and the program of the guide's chapter about introspection work as written. */
import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test, vi } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { createKey } from "../support/apiKeys.ts";
import { password, startTestService } from "../support/service.ts";

const publicUrl = "https://auth.example";
const service = await startTestService({ PUBLIC_URL: publicUrl });
const admin = await service.administrator();
const chapter = (await readFile("docs/introspection.md", "utf8")).replaceAll("http://127.0.0.1:8080", service.url);

/** The code below a heading, in its order. */
function codeOf(heading: string): string[] {
  const [, section = ""] = chapter.split(`\n## ${heading}\n`);
  return [...(section.split("\n## ")[0] ?? "").matchAll(/```(?:sh|ts|json)\n([\s\S]+?)```/g)].map(
    ([, code = ""]) => code,
  );
}

/** Runs a command. Returns the JSON that it prints. */
async function shell(command = "", variables: Record<string, string> = {}) {
  const env = { PATH: process.env["PATH"], ...variables };
  const { stdout } = await promisify(execFile)("sh", ["-euc", command.replaceAll("curl ", "curl -sS ")], { env });
  return stdout === "" ? undefined : JSON.parse(stdout);
}

test("a service introspects a token and a key for its API, and whoever has the token revokes it", async () => {
  const audience = "https://orders.example/v1";
  const scopes = [{ name: "orders:read", description: "See orders." }];
  const asAdmin = (method: string, target: string, json: unknown) =>
    service.send(method, target, { basic: admin, json });
  await asAdmin("POST", "/api/apis", { audience, name: "Orders", scopes });
  await asAdmin("PUT", "/api/roles/clerk", { scopes: ["orders:read"] });
  const user = async (role: string) => {
    const { id, username } = await service.register();
    await asAdmin("PATCH", `/api/users/${id}`, { roles: [role] });
    return { basic: [username, password] as [string, string] };
  };

  const [defineRole] = codeOf("Get access");
  expect(await shell(defineRole, { ADMIN: admin.join(":") })).toMatchObject({ scopes: ["tokens:introspect"] });
  const { key: API_KEY } = await createKey(service, await user("introspector"), { scopes: ["tokens:introspect"] });
  const clerk = await user("clerk");
  const { token: TOKEN } = (await service.send("GET", `/api/token?audience=${audience}`, clerk)).json;
  const { key } = await createKey(service, clerk, { scopes: ["orders:read"] });

  const [introspect = ""] = codeOf("Introspect");
  const active = { active: true, aud: audience, scope: "orders:read" };
  expect(await shell(introspect, { API_KEY, TOKEN })).toMatchObject({ ...active, token_type: "access_token" });
  expect(await shell(introspect, { API_KEY, TOKEN: key })).toMatchObject({ ...active, token_type: "api_key" });
  expect(await shell(introspect, { API_KEY, TOKEN: API_KEY })).toEqual({ active: false });

  // Requests to the public URL arrive here, as through a proxy.
  const send = fetch;
  vi.stubGlobal("fetch", (url: string, init: object) => send(url.replace(publicUrl, service.url), init));
  vi.stubEnv("API_KEY", API_KEY);
  afterTest(() => vi.unstubAllGlobals());
  afterTest(() => vi.unstubAllEnvs());
  const file = join(import.meta.dirname, `introspect-${process.pid}.ts`);
  afterTest(() => rm(file));
  await writeFile(file, codeOf("Use a standard client")[0] ?? "");
  const program = await import(/* @vite-ignore */ pathToFileURL(file).href);
  expect(await program.introspect(TOKEN)).toMatchObject(active);
  expect(await program.introspect(API_KEY)).toEqual({ active: false });

  const [revoke = ""] = codeOf("Revoke");
  for (const text of [TOKEN, TOKEN, "unknown"]) expect(await shell(revoke, { TOKEN: text })).toBeUndefined();
  expect(await program.introspect(TOKEN)).toEqual({ active: false });

  const [error = ""] = codeOf("Errors");
  const withoutToken = {
    bearer: API_KEY,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "a=b",
  };
  expect((await service.send("POST", "/oauth/introspect", withoutToken)).json).toEqual(JSON.parse(error));
});
