/** The guide's Python code verifies tokens of a real service with PyJWT, and rejects others. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { freePort } from "../support/ports.ts";
import { startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

/** Debian's Python, which has Debian's packages. */
const python = "/usr/bin/python3";

test("a token is verified by its signature, issuer, audience, type and time", async () => {
  const guide = await readFile("docs/protect-your-api.md", "utf8");
  const [, code = ""] = /```python\n([\s\S]+?)```/.exec(guide) ?? [];
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url, TOKEN_TTL_SECONDS: "60" });
  const other = await startTestService({ PUBLIC_URL: "https://other.example.com" }, service.databaseUrl);
  const { id } = await service.register("miguel");
  const token = await service.token("miguel");
  const elsewhere = await other.token("miguel");
  service.advance(-3_600);
  const expired = await service.token("miguel");

  const folder = await temporaryFolder();
  await writeFile(
    join(folder, "verify.py"),
    `${code.replaceAll(sampleOrigin, url)}

import json, sys
results = []
for token in sys.argv[1:]:
    try:
        results.append(user_of(token))
    except jwt.PyJWTError as error:
        results.append(type(error).__name__)
print(json.dumps(results))
`,
  );
  const [header, payload = "", signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  const forged = Buffer.from(JSON.stringify({ ...claims, username: "admin" })).toString("base64url");
  const altered = [header, forged, signature].join(".");
  const args = [join(folder, "verify.py"), token, elsewhere, expired, altered];
  const { stdout } = await promisify(execFile)(python, args);
  expect(JSON.parse(stdout)).toEqual([
    { id, username: "miguel" },
    expect.stringMatching(/^Invalid(Audience|Issuer)Error$/),
    "ExpiredSignatureError",
    "InvalidSignatureError",
  ]);
});

test("a token for an API is verified by its audience and its scope", async () => {
  const guide = await readFile("docs/access-control.md", "utf8");
  const [, code = ""] = /```python\n([\s\S]+?)```/.exec(guide) ?? [];
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url });
  const basic = await service.administrator();
  const { id } = (await service.send("GET", "/api/users/me", { basic })).json;
  const scopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "" }));
  const api = { audience: "https://orders.example/v1", name: "Orders", scopes };
  expect((await service.send("POST", "/api/apis", { basic, json: api })).status).toBe(201);
  const token = async (query: string) => (await service.send("GET", `/api/token?${query}`, { basic })).json.token;

  const folder = await temporaryFolder();
  const script = `${code.replaceAll(sampleOrigin, url)}

import json, sys
results = []
for token in sys.argv[1:]:
    try:
        results.append(user_with_scope(token, "orders:write"))
    except (jwt.PyJWTError, PermissionError) as error:
        results.append(type(error).__name__)
print(json.dumps(results))
`;
  await writeFile(join(folder, "verify.py"), script);
  const tokens = [
    await token(`audience=${api.audience}&scope=orders:write`),
    await token(`audience=${api.audience}&scope=orders:read`),
    await token("scope=account:read"),
  ];
  const { stdout } = await promisify(execFile)(python, [join(folder, "verify.py"), ...tokens]);
  expect(JSON.parse(stdout)).toEqual([{ id, username: "administrator" }, "PermissionError", "InvalidAudienceError"]);
});
