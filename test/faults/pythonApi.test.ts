/** The guide's Python API, with Debian's Flask and PyJWT: scopes, revocations within a second, and an outage of Latchkey. */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeJwt } from "jose";
import { expect, test, vi } from "vitest";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { afterTest } from "../support/afterTest.ts";
import { untilRejected } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { password, startTestService } from "../support/service.ts";
import { ownKeys, signedWith } from "../support/signingKeys.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const guide = await readFile("docs/protect-a-python-api.md", "utf8");

test("accepts tokens for its audience and scopes, and rejects a revoked one within a second", async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url });
  const basic = await service.administrator();
  const [tokens = "", app = ""] = [...guide.matchAll(/```python\n([\s\S]+?)```/g)].map(([, code]) => code);
  const [api, role] = [...guide.matchAll(/-d '(\{[\s\S]+?\})'/g)].map(([, body = ""]) => JSON.parse(body));
  expect((await service.send("POST", "/api/apis", { basic, json: api })).status).toBe(201);
  expect((await service.send("PUT", "/api/roles/default", { basic, json: role })).status).toBe(200);
  const key = { name: "orders", scopes: ["revocations:read"] };
  const created = await service.send("POST", "/api/api-keys", { basic, json: key });
  expect(created.status).toBe(201);

  const folder = await temporaryFolder();
  await writeFile(join(folder, "latchkey_tokens.py"), tokens.replaceAll(sampleOrigin, url));
  await writeFile(join(folder, "app.py"), app);
  const apiPort = await freePort();
  const flask = spawn("/usr/bin/python3", ["-m", "flask", "run", "--port", String(apiPort)], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", LATCHKEY_API_KEY: created.json.key, PYTHONDONTWRITEBYTECODE: "1" },
    stdio: "ignore",
  });
  afterTest(() => flask.kill("SIGKILL"));
  const orders = async (method: string, bearer?: string, json?: object) => {
    const response = await fetch(`http://127.0.0.1:${apiPort}/orders`, {
      method,
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        "content-type": "application/json",
      },
      body: json ? JSON.stringify(json) : null,
    });
    const challenge = response.headers.get("www-authenticate");
    return {
      status: response.status,
      challenge,
      type: response.headers.get("content-type"),
      json: await response.json(),
    };
  };
  const read = (bearer: string) => orders("GET", bearer);

  await service.register("miguel");
  const tokenFor = async (query: string, username = "miguel") =>
    (await service.send("GET", `/api/token?${query}`, { basic: [username, password] })).json.token as string;
  const audience = `audience=${api.audience}`;
  const token = await tokenFor(audience);
  await vi.waitUntil(
    () =>
      read(token).then(
        ({ status }) => status === 200,
        () => false,
      ),
    { timeout: 15_000 },
  );
  const placed = await orders("POST", token, { item: "a latch" });
  expect(placed).toMatchObject({ status: 201, json: { orders: ["a latch"] } });
  expect(await read(token)).toMatchObject({ status: 200, json: { orders: ["a latch"] } });

  const reading = await tokenFor(`${audience}&scope=orders:read`);
  expect((await read(reading)).status).toBe(200);
  const forbidden = await orders("POST", reading, { item: "a key" });
  expect(forbidden).toMatchObject({
    status: 403,
    challenge: 'Bearer error="insufficient_scope", scope="orders:write"',
  });
  const anonymous = await orders("GET");
  expect(anonymous).toMatchObject({ status: 401, challenge: "Bearer", type: "application/problem+json" });

  const own = (await ownKeys(service)).at(-1);
  if (!own) throw new Error("there is no key");
  const claims = decodeJwt(token);
  const [header, , signature] = token.split(".");
  for (const bearer of [
    "x",
    "",
    await service.token("miguel"),
    signedWith(own, { ...claims, iss: "https://other.example.com" }),
    signedWith(own, { ...claims, exp: 1 }),
    signedWith(own, claims, { header: { typ: "JWT" } }),
    signedWith(own, claims, { header: { kid: "unknown" } }),
    [header, Buffer.from(JSON.stringify({ ...claims, sub: "another" })).toString("base64url"), signature].join("."),
  ]) {
    const answer = await read(bearer);
    expect(answer.status, bearer).toBe(401);
    expect(answer.challenge).toMatch(/^Bearer/);
  }

  const others = ["susan", "ann", "bob"];
  for (const username of others) await service.register(username);
  const [ofSusan = "", ofAnn = "", ofBob = ""] = await Promise.all(others.map((name) => tokenFor(audience, name)));
  for (const bearer of [ofSusan, ofAnn, ofBob]) expect((await read(bearer)).status).toBe(200);
  // A token by its user, and by the scopes of a role.
  expect((await service.send("DELETE", "/api/sessions", { basic: ["susan", password] })).status).toBe(204);
  await untilRejected(() => read(ofSusan));
  expect((await read(ofAnn)).status).toBe(200);
  const less = { ...role, scopes: ["orders:read"] };
  expect((await service.send("PUT", "/api/roles/default", { basic, json: less })).status).toBe(200);
  await untilRejected(() => read(ofAnn));
  expect((await read(await tokenFor(audience, "ann"))).status).toBe(200);

  // Without Latchkey, tokens are accepted for a bounded time.
  const young = await tokenFor(audience, "bob");
  expect((await read(young)).status).toBe(200);
  await service.close();
  await vi.waitUntil(async () => (await read(young)).status === 503, { timeout: 30_000, interval: 200 });
  const again = await startTestService({ PORT: String(port), PUBLIC_URL: url }, service.databaseUrl);
  await vi.waitUntil(async () => (await read(young)).status === 200, { timeout: 10_000, interval: 100 });
  await again.close();
});
