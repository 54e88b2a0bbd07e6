/** A client that acts for a user does what the user has allowed it, and is not the user. */
import { expect, test } from "vitest";
import { registerApp } from "../support/authorizations.ts";
import { issueCode, ownAudience } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const admin = await service.administrator();
const scopes = ["account:write", "users:read", "users:write"];
const client = await registerApp(service, admin, { scopes });
await service.send("PUT", "/api/roles/help-desk", { basic: admin, json: { scopes: ["users:read", "users:write"] } });
const { id: userId } = await service.register("miguel");
await service.send("PATCH", `/api/users/${userId}`, { basic: admin, json: { roles: ["help-desk"] } });
const basic: [string, string] = ["miguel", password];

/** A token that the client has got for this user. */
async function tokenWith(...granted: string[]): Promise<string> {
  const code = await issueCode(service, { clientId: client.client_id, userId, scopes: granted });
  const form = { ...code, client_id: client.client_id };
  return (await service.send("POST", "/oauth/token", { form })).json.access_token;
}
const askProxy = (bearer: string, query = "") => service.send("GET", `/api/forward-auth${query}`, { bearer });

test("its token opens no application behind a proxy that names neither an audience nor a scope", async () => {
  for (const bearer of [await tokenWith("openid"), await tokenWith("users:read")]) {
    const answer = await askProxy(bearer);
    expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
    expect(answer.header("latchkey-user-id")).toBe("");
    expect(answer.header("latchkey-roles")).toBe("");
    const named = await askProxy(bearer, `?audience=${encodeURIComponent(ownAudience)}`);
    expect(named).toMatchObject({ status: 401, problem: "invalid-token" });
    const asUsername = await service.send("GET", "/api/forward-auth", { basic: [bearer, "unused"] });
    expect(asUsername).toMatchObject({ status: 401, problem: "invalid-token" });
  }
});

test("its token opens an application that requires a scope which the user has allowed", async () => {
  const allowed = await askProxy(await tokenWith("users:read"), "?scope=users:read");
  expect(allowed.status).toBe(204);
  expect(allowed.header("latchkey-client-id")).toBe(client.client_id);
  expect((await askProxy(await tokenWith("openid"), "?scope=users:read")).problem).toBe("insufficient-scope");
  expect((await askProxy(await service.token("miguel"))).status).toBe(204);
});

test("it does not change the password of its user, also not by the right to do so for other users", async () => {
  const bearer = await tokenWith("account:write", "users:read", "users:write");
  const json = { current_password: password, new_password: "chosen by the client" };
  const refused = { status: 403, problem: "insufficient-scope", json: { scope: "account:write" } };
  expect(await service.send("PUT", "/api/users/me/password", { bearer, json })).toMatchObject(refused);
  for (const [method, path, body] of [
    ["PUT", "/password", { new_password: json.new_password }],
    ["PATCH", "", { blocked: true }],
    ["DELETE", "", undefined],
  ] as const) {
    const target = `/api/users/${userId}${path}`;
    const answer = await service.send(method, target, { bearer, ...(body && { json: body }) });
    expect(answer, method).toMatchObject(refused);
  }
  const { id: other } = await service.register();
  expect((await service.send("DELETE", `/api/users/${other}`, { bearer })).status).toBe(204);
  expect((await service.send("GET", "/api/resource", { basic })).status).toBe(200);
});
