/** Links between the pages of this project work, and the guide's code for other services verifies tokens. */
import { access, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test, vi } from "vitest";
import { operationsOf, readContract } from "../../scripts/docs/contract.ts";
import { readGuide } from "../../scripts/docs/guide.ts";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { afterTest } from "../support/afterTest.ts";
import { createKey } from "../support/apiKeys.ts";
import { freePort } from "../support/ports.ts";
import { startTestService } from "../support/service.ts";

const contract = await readContract();
const chapters = (await readdir("docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "STYLE.md",
  "RUNBOOK.md",
  "SECURITY.md",
  "deploy/ha/README.md",
  ...chapters,
];

/** The fragment that GitHub gives to a heading. */
const fragmentOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number} _-]/gu, "")
    .replaceAll(" ", "-");

/** The fragments of a Markdown file. Those of the contract are its operations. */
async function fragmentsOf(file: string): Promise<string[]> {
  if (file === "openapi.yaml") return operationsOf(contract).map(({ operation }) => operation.operationId);
  if (file === "docs/errors.md") return (await chapter("errors")).map(fragmentOf);
  return headingsOf(await readFile(file, "utf8")).map(fragmentOf);
}

const headingsOf = (text: string) =>
  [...text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);

/** The headings of a chapter, with the generated ones. */
async function chapter(name: string): Promise<string[]> {
  const found = (await readGuide(contract)).find((one) => one.name === name);
  return headingsOf(found?.text ?? "");
}

test.each(pages)("every link of %s to a file of this project works", async (page) => {
  const links = [...(await readFile(page, "utf8")).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, link = ""]) => link);
  for (const link of links) {
    const [path, fragment] = link.split("#");
    const file = path ? join(dirname(page), path) : page;
    await expect(access(file), link).resolves.toBeUndefined();
    if (fragment !== undefined) expect(await fragmentsOf(file), link).toContain(fragment);
  }
});

test("the guide's JavaScript accepts a token, and rejects one of another issuer, an expired one and a forged one", async () => {
  const guide = await readFile("docs/protect-your-api.md", "utf8");
  const [, code = ""] = /```ts\n([\s\S]+?)```/.exec(guide) ?? [];
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  // Passwords are not the subject, and loading the dictionaries of the blocklist takes time.
  const settings = { PORT: String(port), PUBLIC_URL: url, TOKEN_TTL_SECONDS: "60", PASSWORD_BLOCKLIST: "off" };
  const service = await startTestService(settings);
  const other = await startTestService({ PUBLIC_URL: "https://other.example.com" }, service.databaseUrl);
  const { id } = await service.register("miguel");
  const token = await service.token("miguel");
  const [header, , signature] = token.split(".");
  const claims = Buffer.from(JSON.stringify({ sub: id, username: "admin", iss: url, aud: url })).toString("base64url");
  service.advance(-3_600);
  const expired = await service.token("miguel");

  // In this folder, from which it can import jose.
  const file = join(import.meta.dirname, `verifyInJavaScript-${port}.ts`);
  afterTest(() => rm(file));
  await writeFile(file, code.replaceAll(sampleOrigin, url));
  const { userOf } = await import(/* @vite-ignore */ pathToFileURL(file).href);
  expect(await userOf(token)).toEqual({ id, username: "miguel" });
  await expect(userOf(await other.token("miguel"))).rejects.toThrow('unexpected "iss" claim value');
  await expect(userOf(expired)).rejects.toThrow('"exp" claim timestamp check failed');
  await expect(userOf([header, claims, signature].join("."))).rejects.toThrow("signature verification failed");
});

test("the guide's JavaScript for an API accepts a token with its audience and the scope, and no other", async () => {
  const guide = await readFile("docs/access-control.md", "utf8");
  const [, code = ""] = /```ts\n([\s\S]+?)```/.exec(guide) ?? [];
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url, PASSWORD_BLOCKLIST: "off" });
  const basic = await service.administrator();
  const { id } = (await service.send("GET", "/api/users/me", { basic })).json;
  // The bodies of the guide.
  const [api, role] = [...guide.matchAll(/-d '(\{[\s\S]+?\})'/g)].map(([, body = ""]) => JSON.parse(body));
  expect((await service.send("POST", "/api/apis", { basic, json: api })).status).toBe(201);
  expect((await service.send("PUT", "/api/roles/order-clerk", { basic, json: role })).status).toBe(201);
  const token = async (query: string) => (await service.send("GET", `/api/token?${query}`, { basic })).json.token;
  const audience = "audience=https://orders.example/v1";

  const file = join(import.meta.dirname, `verifyScopeInJavaScript-${port}.ts`);
  afterTest(() => rm(file));
  await writeFile(file, code.replaceAll(sampleOrigin, url));
  const { userWithScope } = await import(/* @vite-ignore */ pathToFileURL(file).href);
  const reading = await token(`${audience}&scope=orders:read`);
  expect(await userWithScope(reading, "orders:read")).toEqual({ id, username: "administrator" });
  await expect(userWithScope(reading, "orders:write")).rejects.toThrow("The scope orders:write is missing.");
  expect(await userWithScope(await token(audience), "orders:write")).toMatchObject({ id });
  const forLatchkey = await token("scope=account:read");
  await expect(userWithScope(forLatchkey, "account:read")).rejects.toThrow('unexpected "aud" claim value');
  await expect(userWithScope(await token(""), "orders:read")).rejects.toThrow('missing required "scope" claim');
});

test("the guide's follower of revocations rejects a revoked token and no other", async () => {
  const guide = await readFile("docs/revocation-feed.md", "utf8");
  const [, code = ""] = /```ts\n([\s\S]+?)```/.exec(guide) ?? [];
  const role = JSON.parse(/-d '(\{[\s\S]+?\})'/.exec(guide)?.[1] ?? "");
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url });
  const basic = await service.administrator();
  expect((await service.send("PUT", "/api/roles/verifier", { basic, json: role })).status).toBe(201);
  const { id } = await service.register("verifier");
  expect((await service.send("PATCH", `/api/users/${id}`, { basic, json: { roles: ["verifier"] } })).status).toBe(200);
  const { key } = await createKey(service, "verifier", { scopes: role.scopes });
  await service.register("miguel");
  const [bearer, other] = [await service.token("miguel"), await service.token("miguel")];

  const file = join(import.meta.dirname, `followRevocations-${port}.ts`);
  afterTest(() => rm(file));
  await writeFile(file, code.replaceAll(sampleOrigin, url));
  const { follow, requireUnrevoked } = await import(/* @vite-ignore */ pathToFileURL(file).href);
  const refusalOf = (token: string) => {
    const [header, claims] = token.split(".", 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
    try {
      requireUnrevoked(claims, header.kid);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const stop = new AbortController();
  const seen: (string | undefined)[] = [];
  expect(refusalOf(bearer)).toBe("The revocation list is out of date.");
  const following = follow(key, (subject?: string) => seen.push(subject), stop.signal);
  await vi.waitUntil(() => refusalOf(bearer) === undefined, 15_000);
  expect((await service.send("DELETE", "/api/token", { bearer })).status).toBe(204);
  await vi.waitUntil(() => refusalOf(bearer) === "The token has been revoked.", 15_000);
  expect(refusalOf(other)).toBeUndefined();
  expect(seen.length).toBeGreaterThan(0);
  stop.abort();
  await following;
});

test("every log message in RUNBOOK.md is in the source", async () => {
  const files = await readdir("src", { recursive: true, withFileTypes: true });
  const sources = files.filter((file) => file.isFile()).map(({ parentPath, name }) => readFile(join(parentPath, name)));
  const source = (await Promise.all(sources)).join("\n");
  const messages = [...(await readFile("RUNBOOK.md", "utf8")).matchAll(/"msg":"([^"]+)"/g)].map(
    ([, text = ""]) => text,
  );
  expect(messages.length).toBeGreaterThan(5);
  expect(messages.filter((message) => !source.includes(`"${message}"`))).toEqual([]);
});
