import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const { client_id } = await registerClient(service, basic, { scopes: ["users:read"] });
const target = `/api/clients/${client_id}`;
const patch = (json: unknown, headers?: Record<string, string>) =>
  service.send("PATCH", target, { basic, json, ...(headers && { headers }) });
const etag = async () => (await service.send("GET", target, { basic })).header("etag") ?? "";

describeOperation("updateClient", {
  service,
  target,
  request: () => ({ basic, json: { name: "Report" } }),
  cases: {
    200: {
      "with each member that it changes, and the others as they were": async () => {
        const before = (await service.send("GET", target, { basic })).json;
        const changes = {
          name: "Weekly report",
          grant_types: ["authorization_code", "refresh_token"],
          redirect_uris: ["https://app.example/callback"],
          post_logout_redirect_uris: ["https://app.example/"],
          scopes: ["users:read", "roles:read"],
          first_party: true,
          logo_uri: "https://app.example/logo.svg",
          client_uri: "https://app.example/",
          policy_uri: "https://app.example/policy",
          tos_uri: "https://app.example/terms",
        };
        const updated_at = expect.any(String);
        expect(await patch(changes)).toMatchObject({ status: 200, json: { ...before, ...changes, updated_at } });
        expect((await patch({ logo_uri: null })).json.logo_uri).toBeNull();
        const back = { ...changes, ...before, redirect_uris: [], grant_types: ["client_credentials"] };
        const { client_id: _, secrets, created_at, updated_at: __, registration, public: ___, ...rest } = back;
        const { token_endpoint_auth_method, ...members } = rest;
        expect(await patch(members)).toMatchObject({ status: 200, json: { ...before, updated_at } });
      },
      "if the ETag is current": async () => {
        expect((await patch({ name: "A" }, { "If-Match": await etag() })).status).toBe(200);
        expect((await patch({ name: "B" }, { "If-Match": `"0", ${await etag()}` })).status).toBe(200);
        expect((await patch({ name: "C" }, { "If-Match": "*" })).status).toBe(200);
      },
      "if it keeps a scope and an audience whose API was deleted": async () => {
        const api = { audience: "cellar", name: "Cellar", scopes: [{ name: "cellar:open", description: "" }] };
        await service.send("POST", "/api/apis", { basic, json: api });
        expect((await patch({ scopes: ["cellar:open"], audiences: ["cellar"] })).status).toBe(200);
        await service.send("DELETE", "/api/apis/cellar", { basic });
        expect((await patch({ name: "Keeper", scopes: ["cellar:open"], audiences: ["cellar"] })).status).toBe(200);
        expect((await patch({ scopes: [], audiences: [] })).status).toBe(200);
        expect((await patch({ scopes: ["cellar:open"] })).status).toBe(400);
      },
      "if it keeps a name that an earlier version accepted": async () => {
        const name = "Re\u00adport";
        await service.sql("UPDATE clients SET name = $1 WHERE id = $2", [name, client_id]);
        expect(await patch({ scopes: [] })).toMatchObject({ status: 200, json: { name } });
        expect((await patch({ name: `${name}s` })).status).toBe(400);
        expect((await patch({ name: "Report" })).status).toBe(200);
      },
    },
    400: each<[string, object]>(
      "for %s",
      [
        ["nothing to change", {}],
        ["another way to authenticate", { public: true }],
        ["a grant type that needs a redirect URI", { grant_types: ["authorization_code"] }],
        ["keys", { jwks_uri: "https://app.example/keys" }],
        ["an unsafe redirect URI", { redirect_uris: ["http://app.example/"] }],
        ["an unknown scope", { scopes: ["orders:fly"] }],
      ],
      async (_label, json) => {
        expect(await patch(json)).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    ),
    404: {
      "for an unknown client": async () => {
        const unknown = `/api/clients/lkc_${"0".repeat(32)}`;
        const answer = await service.send("PATCH", unknown, { basic, json: { name: "Unknown" } });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    412: {
      "if the client has changed": async () => {
        const old = await etag();
        await patch({ name: "Newer" });
        for (const value of [old, `W/${await etag()}`, '"1"'])
          expect(await patch({ name: "Older" }, { "If-Match": value })).toMatchObject({ status: 412 });
        expect((await service.send("GET", target, { basic })).json.name).toBe("Newer");
      },
    },
  },
});
