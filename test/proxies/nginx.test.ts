/** deploy/protect/nginx.conf: nginx asks Latchkey (auth_request). */
import { readFile } from "node:fs/promises";
import type { OutgoingHttpHeaders } from "node:http";
import { expect, test } from "vitest";
import { basicAuthorization, sendRaw } from "../support/client.ts";
import { startNginx } from "../support/nginx.ts";
import { freePort } from "../support/ports.ts";
import {
  contract,
  identityHeaders,
  type Passed,
  startApplication,
  startProtectingService,
} from "../support/protectedApi.ts";
import { sendTo } from "./send.ts";

const { service, admin, setContract, user } = await startProtectingService();
const application = await startApplication();
const file = await readFile("deploy/protect/nginx.conf", "utf8");

/** Starts nginx with the file. Only the addresses differ. */
async function startProxy(latchkey = service.url, edit = (text: string) => text): Promise<number> {
  const port = await freePort();
  const site = edit(file)
    .replace("listen 80;", `listen 127.0.0.1:${port};`)
    .replace("server 127.0.0.1:8080;", `server ${new URL(latchkey).host};`)
    .replace("server 127.0.0.1:3000;", `server 127.0.0.1:${application.port};`);
  await startNginx(site, port);
  return port;
}

const asUser = { authorization: basicAuthorization(user.basic) };
const identity = {
  "latchkey-user-id": user.id,
  "latchkey-username": "%D0%BE%D0%BB%D1%8C%D0%B3%D0%B0",
  "latchkey-scope": "orders:read",
  "latchkey-roles": "reader",
};
const port = await startProxy();

test.each([
  ["a password", asUser, undefined],
  ["a token", { authorization: `Bearer ${user.token}` }, "latchkey"],
  ["a token as the Basic username", { authorization: basicAuthorization([user.token, "x"]) }, "latchkey"],
  ["an API key", { authorization: `Bearer ${user.key}` }, undefined],
])("a request with %s passes, with the user and without the credential", async (_label, headers, clientId) => {
  for (const method of ["GET", "HEAD", "DELETE"]) {
    expect((await sendTo(port, method, "/a%20b?c=%2F", headers)).status).toBe(200);
    const passed = application.requests.at(-1);
    expect(passed).toMatchObject({ method, url: "/a%20b?c=%2F", headers: identity });
    expect(passed?.headers["latchkey-client-id"]).toBe(clientId);
    expect(passed?.headers["authorization"]).toBeUndefined();
  }
  // Also on the connection to Latchkey, which is kept open, a body must not be taken for a request, nor a request for a body.
  for (const framing of [{}, { "transfer-encoding": "chunked" }]) {
    const body = "GET /api/forward-auth HTTP/1.1\r\n\r\n";
    const posted = await sendTo(port, "POST", "/orders", { ...headers, ...framing }, body);
    expect(posted.passed).toMatchObject({ method: "POST", body, headers: identity });
  }
});

test("no header of the client reaches the application as an identity", async () => {
  const forged = {
    ...Object.fromEntries(identityHeaders.map((name) => [name, "administrator"])),
    Latchkey_User_Id: "administrator",
    "Latchkey-User_Id": "administrator",
    LATCHKEY_USERNAME: "administrator",
    "Latchkey.Username": "administrator",
  };
  const { passed } = await sendTo(port, "GET", "/", { ...asUser, ...forged });
  expect(passed?.headers).toMatchObject(identity);
  await setContract(contract);
  const open = await sendTo(port, "GET", "/health", forged);
  await setContract(null);
  expect(open.status).toBe(200);
  for (const { headers } of [passed, open.passed] as Passed[]) {
    expect(JSON.stringify(headers)).not.toContain("administrator");
  }
});

test("a 401 has the challenges, and for a script not the one that opens a dialog", async () => {
  const before = application.requests.length;
  const page = await sendTo(port, "GET", "/");
  expect(page.status).toBe(401);
  // Before nginx 1.23, auth_request passes on the first of several challenges only.
  expect(page.headers["www-authenticate"]?.[0]).toBe('Basic realm="latchkey", charset="UTF-8"');
  const script = await sendTo(port, "GET", "/", { "sec-fetch-dest": "empty" });
  expect(script.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
  const garbage = { authorization: "Bearer garbage", "sec-fetch-dest": "empty" };
  const forged = await sendTo(port, "GET", "/", garbage);
  expect(forged.headers["www-authenticate"]?.join()).toContain('error="invalid_token"');
  expect(application.requests).toHaveLength(before);
});

test("a 403 and a 400 remain what they are", async () => {
  const needsWrite = await startProxy(service.url, (text) =>
    text.replace("orders.example/v1;", "orders.example/v1&scope=orders:write;"),
  );
  expect((await sendTo(needsWrite, "GET", "/", asUser)).status).toBe(403);
  expect((await sendTo(needsWrite, "GET", "/", { authorization: basicAuthorization(admin) })).status).toBe(200);
  const unknown = await startProxy(service.url, (text) => text.replace("orders.example/v1;", "orders.example/v2;"));
  expect((await sendTo(unknown, "GET", "/", asUser)).status).toBe(400);
  expect((await sendTo(port, "GET", "/", { authorization: "Basic *" })).status).toBe(400);
});

test("a 503 remains a 503, and is the response while Latchkey cannot be reached", async () => {
  await service.withoutDatabase(async () => {
    const answer = await sendTo(port, "GET", "/", asUser);
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toEqual(["2"]);
  });
  const away = await startProxy("http://127.0.0.1:1");
  expect((await sendTo(away, "GET", "/", asUser)).status).toBe(503);
});

test("a 500 of the application remains a 500 of the application", async () => {
  const answer = await sendTo(port, "GET", "/broken", asUser);
  expect(answer).toMatchObject({ status: 500, passed: { url: "/broken" } });
});

test("40 files at once pass, with a password and with a token", async () => {
  for (const headers of [asUser, { authorization: `Bearer ${user.token}` }]) {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) => sendTo(port, "GET", `/assets/${n}.js`, headers)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  }
});

test("the contract of the API is enforced, whatever the client says about its request", async () => {
  await setContract(contract);
  const token = { authorization: `Bearer ${user.token}` };
  const forged = {
    "x-original-uri": "/health",
    "x-original-method": "GET",
    "x-original-url": "https://orders.example/health",
    "x-forwarded-uri": "/health",
    "x-forwarded-method": "GET",
    "x-http-method-override": "GET",
    "x-rewrite-url": "/health",
  };
  for (const extra of [{}, forged]) {
    const statuses = async (...requests: [string, string, OutgoingHttpHeaders][]) =>
      Promise.all(
        requests.map(
          async ([method, path, headers]) => (await sendTo(port, method, path, { ...headers, ...extra })).status,
        ),
      );
    expect(
      await statuses(
        ["GET", "/health", {}],
        ["GET", "/orders", {}],
        ["GET", "/orders", token],
        ["GET", "/orders", asUser],
        ["POST", "/orders", token],
        ["DELETE", "/orders", token],
        ["GET", "/admin", token],
        ["GET", "/files/a", {}],
        ["GET", "/files/..%2fadmin", {}],
        ["GET", "/files/..%252fadmin", token],
      ),
    ).toEqual([200, 401, 200, 200, 403, 403, 403, 200, 403, 403]);
  }
  const overriding = await sendTo(port, "GET", "/orders", { ...token, ...forged, "x-http-method-override": "DELETE" });
  expect(JSON.stringify(overriding.passed)).not.toMatch(/override|DELETE|rewrite|x-original-url/i);
  // The absolute form has the path of the request, not another one.
  const absolute = await sendRaw(
    `http://127.0.0.1:${port}`,
    `GET http://evil.example/admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  ).catch(() => undefined);
  expect(absolute?.status ?? 403).toBe(403);
  await setContract(null);
});

test("the location that asks Latchkey is not public", async () => {
  expect((await sendTo(port, "GET", "/latchkey", asUser)).status).toBe(404);
});
