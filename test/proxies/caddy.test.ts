/** deploy/protect/Caddyfile: Caddy asks Latchkey (forward_auth). */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { basicAuthorization } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { contract, identityHeaders, startApplication, startProtectingService } from "../support/protectedApi.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import { startProxyProgram } from "./program.ts";
import { sendTo } from "./send.ts";

const { service, setContract, user } = await startProtectingService();
const application = await startApplication();
const file = await readFile("deploy/protect/Caddyfile", "utf8");

/** Starts Caddy with the file. Only the addresses differ. */
async function startCaddy(latchkey = service.url, edit = (text: string) => text): Promise<number> {
  const port = await freePort();
  const folder = await temporaryFolder();
  const site = edit(file)
    .replace("http://:80 {", `http://127.0.0.1:${port} {`)
    .replace("forward_auth 127.0.0.1:8080", `forward_auth ${new URL(latchkey).host}`)
    .replace("reverse_proxy 127.0.0.1:3000", `reverse_proxy 127.0.0.1:${application.port}`);
  const config = join(folder, "Caddyfile");
  await writeFile(config, `{\n\tadmin off\n}\n${site}`);
  const env = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  await startProxyProgram("caddy", ["run", "--config", config, "--adapter", "caddyfile"], port, env);
  return port;
}

const asUser = { authorization: basicAuthorization(user.basic) };
const identity = {
  "latchkey-user-id": user.id,
  "latchkey-username": "%D0%BE%D0%BB%D1%8C%D0%B3%D0%B0",
  "latchkey-scope": "orders:read",
  "latchkey-roles": "reader",
};
const port = await startCaddy();

test.each([
  ["a password", asUser, ""],
  ["a token", { authorization: `Bearer ${user.token}` }, "latchkey"],
  ["an API key", { authorization: `Bearer ${user.key}` }, ""],
])("a request with %s passes, with the user and without the credential", async (_label, headers, clientId) => {
  for (const method of ["GET", "HEAD", "DELETE"]) {
    expect((await sendTo(port, method, "/a%20b?c=%2F", headers)).status).toBe(200);
    const passed = application.requests.at(-1);
    expect(passed).toMatchObject({ method, url: "/a%20b?c=%2F", headers: identity });
    expect(passed?.headers["latchkey-client-id"]).toBe(clientId);
    expect(passed?.headers["authorization"]).toBeUndefined();
  }
  const posted = await sendTo(port, "POST", "/orders", headers, "a body");
  expect(posted.passed).toMatchObject({ method: "POST", body: "a body", headers: identity });
});

test("no header of the client reaches the application as an identity, and no placeholder does", async () => {
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
  for (const one of [passed, open.passed]) {
    expect(JSON.stringify(one?.headers)).not.toMatch(/administrator|\{http\./);
    expect(
      Object.keys(one?.headers ?? {})
        .filter((name) => name.startsWith("latchkey"))
        .sort(),
    ).toEqual([...identityHeaders].sort());
  }
  expect(open.passed?.headers).toMatchObject(Object.fromEntries(identityHeaders.map((name) => [name, ""])));
});

test("responses of Latchkey reach the client: challenges, 403 and 503 with their problems", async () => {
  const before = application.requests.length;
  const page = await sendTo(port, "GET", "/");
  expect(page.status).toBe(401);
  expect(page.headers["www-authenticate"]).toEqual([
    'Basic realm="latchkey", charset="UTF-8"',
    'Bearer realm="latchkey"',
  ]);
  const script = await sendTo(port, "GET", "/", { "sec-fetch-dest": "empty" });
  expect(script.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
  const needsWrite = await startCaddy(service.url, (text) =>
    text.replace("orders.example/v1", "orders.example/v1&scope=orders:write"),
  );
  const refused = await sendTo(needsWrite, "GET", "/", asUser);
  expect(refused.status).toBe(403);
  expect(JSON.parse(refused.text)).toMatchObject({ type: "/problems/insufficient-scope", scope: "orders:write" });
  await service.withoutDatabase(async () => {
    const away = await sendTo(port, "GET", "/", asUser);
    expect([away.status, away.headers["retry-after"]]).toEqual([503, ["2"]]);
  });
  const unreachable = await startCaddy("http://127.0.0.1:1");
  expect((await sendTo(unreachable, "GET", "/", asUser)).status).toBe(502);
  expect(application.requests).toHaveLength(before);
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
    // Many programs do not tell a hyphen from an underscore.
    X_HTTP_Method_Override: "GET",
    "X-HTTP_Method": "GET",
    X_Rewrite_URL: "/health",
  };
  for (const extra of [{}, forged]) {
    for (const [method, path, headers, status] of [
      ["GET", "/health", {}, 200],
      ["GET", "/orders", {}, 401],
      ["GET", "/orders", token, 200],
      ["POST", "/orders", token, 403],
      ["DELETE", "/orders", token, 403],
      ["GET", "/admin", token, 403],
      ["GET", "/files/a", {}, 200],
      ["GET", "/files/..%2fadmin", token, 403],
      ["GET", "/files/..%252fadmin", token, 403],
    ] as const) {
      const answer = await sendTo(port, method, path, { ...headers, ...extra });
      expect([method, path, answer.status]).toEqual([method, path, status]);
      expect(JSON.stringify(answer.passed?.headers ?? {})).not.toMatch(/override|http.method|rewrite|x-original/i);
    }
  }
  await setContract(null);
});
