/** deploy/protect/apache.conf: Apache verifies tokens with mod_oauth2. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { basicAuthorization } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import {
  audience,
  identityHeaders,
  startApplication,
  startProtectingService,
  tokenOf,
} from "../support/protectedApi.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import { startProxyProgram } from "./program.ts";
import { sendTo } from "./send.ts";

const { service, admin, asAdmin, user } = await startProtectingService();
const application = await startApplication();

const modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "headers", "proxy", "proxy_http", "oauth2"];

/** Starts Apache with the file. Only the addresses differ. */
async function startApache(): Promise<number> {
  const port = await freePort();
  const folder = await temporaryFolder(0o755);
  const site = (await readFile("deploy/protect/apache.conf", "utf8"))
    .replace("<VirtualHost *:80>", `<VirtualHost 127.0.0.1:${port}>`)
    .replace("http://127.0.0.1:8080/.well-known", `${service.url}/.well-known`)
    .replaceAll("http://127.0.0.1:3000/", `http://127.0.0.1:${application.port}/`);
  const load = modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n");
  const config = join(folder, "apache.conf");
  const server = `ServerRoot ${folder}\nServerName localhost\nPidFile ${folder}/pid\nErrorLog ${folder}/error.log\nListen 127.0.0.1:${port}`;
  // Started by root, Apache needs another user.
  await writeFile(config, `${load}\nUser nobody\nGroup nogroup\nDefaultRuntimeDir ${folder}\n${server}\n${site}`);
  await startProxyProgram("apache2", ["-d", folder, "-f", config, "-DFOREGROUND"], port);
  return port;
}

const port = await startApache();
const identity = {
  "latchkey-user-id": user.id,
  "latchkey-username": "%d0%be%d0%bb%d1%8c%d0%b3%d0%b0",
  "latchkey-scope": "orders:read",
};
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("a token for the API with the scope passes, with its user and without the token", async () => {
  for (const method of ["GET", "HEAD", "POST"]) {
    expect((await sendTo(port, method, "/orders?a=b", bearer(user.token))).status).toBe(200);
    const passed = application.requests.at(-1);
    expect(passed).toMatchObject({ method, url: "/orders?a=b", headers: identity });
    expect(passed?.headers["authorization"]).toBeUndefined();
  }
});

test("a token that passed before is rejected once it has expired", async () => {
  await asAdmin("PATCH", `/api/apis/${encodeURIComponent(audience)}`, { token_lifetime_seconds: 1 });
  const short = await tokenOf(service, user.basic);
  await asAdmin("PATCH", `/api/apis/${encodeURIComponent(audience)}`, { token_lifetime_seconds: null });
  const status = async () => (await sendTo(port, "GET", "/", bearer(short))).status;
  await status();
  await expect.poll(status, { timeout: 15_000 }).toBe(401);
});

test("no other credential passes", async () => {
  const { basic, token, key } = user;
  const own = (await service.send("GET", "/api/token", { basic })).json.token as string;
  await service.register("guest");
  const withoutScope = await tokenOf(service, ["guest", admin[1]]);
  const [header = "", claims = "", signature = ""] = token.split(".");
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const decoded = JSON.parse(Buffer.from(claims, "base64url").toString());
  service.advance(-7_200);
  const expired = await tokenOf(service, basic);
  service.advance(7_200);
  const before = application.requests.length;
  for (const headers of [
    {},
    { authorization: basicAuthorization(basic) },
    bearer(key),
    bearer(own),
    bearer(expired),
    bearer(withoutScope),
    bearer("garbage"),
    bearer(`${header}.${claims}.`),
    bearer(`${header}.${encode({ ...decoded, scope: "orders:read orders:write" })}.${signature}`),
    bearer(`${encode({ alg: "none", typ: "at+jwt" })}.${claims}.`),
  ]) {
    expect([401, 403]).toContain((await sendTo(port, "GET", "/orders", headers)).status);
  }
  expect(application.requests).toHaveLength(before);
});

test("no header of the client reaches the application as an identity", async () => {
  const forged = {
    ...Object.fromEntries(identityHeaders.map((name) => [name, "administrator"])),
    Latchkey_User_Id: "administrator",
    "Latchkey-User_Id": "administrator",
    "Latchkey_User-Id": "administrator",
    LATCHKEY_USERNAME: "administrator",
  };
  const { status, passed } = await sendTo(port, "GET", "/", { ...bearer(user.token), ...forged });
  expect([status, passed?.headers]).toMatchObject([200, identity]);
  expect(JSON.stringify(passed?.headers)).not.toContain("administrator");
});
