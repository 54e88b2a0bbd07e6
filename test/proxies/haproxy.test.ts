/** deploy/protect/haproxy.cfg: HAProxy verifies tokens with keys that haproxyKeys.mjs writes. */
import { execFile } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { basicAuthorization, sendRaw } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { identityHeaders, startApplication, startProtectingService, tokenOf } from "../support/protectedApi.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import { startProxyProgram } from "./program.ts";
import { sendTo } from "./send.ts";

const { service, admin, user } = await startProtectingService();
const application = await startApplication();
const folder = await temporaryFolder();

/** @returns the exit status and the errors of haproxyKeys.mjs */
const writeKeys = (url = service.url, into = folder) =>
  new Promise<{ status: number; errors: string }>((resolve) => {
    const child = execFile(process.execPath, ["deploy/protect/haproxyKeys.mjs", url, into], (_error, _output, errors) =>
      resolve({ status: child.exitCode ?? -1, errors }),
    );
  });

/** Starts HAProxy with the file. Only the addresses and the folder of the keys differ. */
async function startHaproxy(): Promise<number> {
  const port = await freePort();
  const config = (await readFile("deploy/protect/haproxy.cfg", "utf8"))
    .replace("bind :80", `bind 127.0.0.1:${port}`)
    .replaceAll("/etc/haproxy/latchkey", folder)
    .replace("server application 127.0.0.1:3000", `server application 127.0.0.1:${application.port}`);
  const path = join(folder, "haproxy.cfg");
  await writeFile(path, config);
  await startProxyProgram("haproxy", ["-f", path, "-db"], port);
  return port;
}

expect(await writeKeys()).toEqual({ status: 0, errors: "" });
const port = await startHaproxy();
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("the script writes as many files as the configuration names, and says whether they changed", async () => {
  expect((await readdir(folder)).filter((name) => name.startsWith("key-"))).toEqual([
    "key-1.pem",
    "key-2.pem",
    "key-3.pem",
  ]);
  expect(await writeKeys()).toEqual({ status: 1, errors: "" });
  expect((await writeKeys("http://127.0.0.1:1")).status).toBe(2);
});

test("a token for the API passes, with its user and without the token", async () => {
  const { status, passed } = await sendTo(port, "GET", "/orders?a=b", bearer(user.token));
  expect(status).toBe(200);
  expect(passed).toMatchObject({
    url: "/orders?a=b",
    headers: {
      "latchkey-user-id": user.id,
      "latchkey-username": "%D0%BE%D0%BB%D1%8C%D0%B3%D0%B0",
      "latchkey-scope": "orders:read",
    },
  });
  expect(passed?.headers["authorization"]).toBeUndefined();
  const written = await sendTo(port, "POST", "/orders", bearer(await tokenOf(service, admin)), "a body");
  expect(written).toMatchObject({ status: 200, passed: { body: "a body" } });
});

test("a token without the scope of the method gets a 403", async () => {
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const { status, headers } = await sendTo(port, method, "/orders", bearer(user.token));
    expect([method, status]).toEqual([method, 403]);
    expect(headers["www-authenticate"]?.join()).toContain("insufficient_scope");
  }
});

test("no other credential passes", async () => {
  const { basic, token, key } = user;
  const own = (await service.send("GET", "/api/token", { basic })).json.token as string;
  const [header = "", claims = "", signature = ""] = token.split(".");
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const decoded = JSON.parse(Buffer.from(claims, "base64url").toString());
  const kid = JSON.parse(Buffer.from(header, "base64url").toString()).kid;
  service.advance(-7_200);
  const expired = await tokenOf(service, basic);
  service.advance(7_200);
  for (const headers of [
    {},
    { authorization: basicAuthorization(basic) },
    bearer(key),
    bearer(own),
    bearer(expired),
    bearer("garbage"),
    bearer(`${header}.${claims}.`),
    bearer(`${header}.${encode({ ...decoded, scope: "orders:read orders:write" })}.${signature}`),
    bearer(`${encode({ alg: "none", typ: "at+jwt", kid })}.${claims}.`),
    bearer(`${encode({ alg: "HS256", typ: "at+jwt", kid })}.${claims}.${signature}`),
    bearer(`${encode({ alg: "ES256", typ: "JWT", kid })}.${claims}.${signature}`),
  ]) {
    const answer = await sendTo(port, "GET", "/orders", headers);
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
  }
  const twice = `GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nAuthorization: Bearer ${own}\r\n\r\n`;
  expect((await sendRaw(`http://127.0.0.1:${port}`, twice).catch(() => ({ status: 400 }))).status).toBe(400);
});

test("no header of the client reaches the application as an identity", async () => {
  const forged = {
    ...Object.fromEntries(identityHeaders.map((name) => [name, "administrator"])),
    Latchkey_User_Id: "administrator",
    "Latchkey-User_Id": "administrator",
    LATCHKEY_USERNAME: "administrator",
  };
  const { status, passed } = await sendTo(port, "GET", "/", { ...bearer(user.token), ...forged });
  expect(status).toBe(200);
  expect(JSON.stringify(passed?.headers)).not.toContain("administrator");
});

test("no header of the client makes the application perform another operation", async () => {
  const names = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Rewrite-URL", "X-Original-URL"];
  // Many programs do not tell a hyphen from an underscore.
  const aliases = ["X_HTTP_Method_Override", "X-HTTP_Method", "X-Method_Override", "X_Rewrite-URL"];
  const forged = Object.fromEntries([...names, ...aliases].map((name) => [name, "administrator"]));
  const { status, passed } = await sendTo(port, "GET", "/orders", { ...bearer(user.token), ...forged });
  expect(status).toBe(200);
  expect(JSON.stringify(passed?.headers)).not.toContain("administrator");
});
