import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const issuer = "https://auth.example/login";
const service = await startTestService({ PUBLIC_URL: issuer });
const path = "/.well-known/oauth-protected-resource";
const audience = "https://orders.example/v1";
const of = (resource: string) => `${path}?resource=${encodeURIComponent(resource)}`;
const scopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "Orders." }));
const basic = await service.administrator();
await service.send("POST", "/api/apis", { basic, json: { audience, name: "Orders", scopes } });
const get = (target: string) => service.send("GET", target);

describeOperation("getResourceMetadata", {
  service,
  target: of(audience),
  request: () => ({}),
  cases: {
    200: {
      "of an API": async () => {
        expect((await get(of(audience))).json).toEqual({
          resource: audience,
          authorization_servers: [issuer],
          scopes_supported: ["orders:read", "orders:write"],
          bearer_methods_supported: ["header"],
        });
      },
      "of this service, also by its name": async () => {
        const { json } = await get(path);
        expect(json).toMatchObject({ resource: issuer, authorization_servers: [issuer] });
        expect(json.scopes_supported).toEqual(expect.arrayContaining(["users:read", "openid"]));
        expect((await get(of(issuer))).json).toEqual(json);
      },
      "with the scopes that the API has now": async () => {
        const changed = "https://changed.example";
        const create = { audience: changed, name: "Changed", scopes };
        await service.send("POST", "/api/apis", { basic, json: create });
        expect((await get(of(changed))).json.scopes_supported).toHaveLength(2);
        const target = `/api/apis/${encodeURIComponent(changed)}`;
        await service.send("PATCH", target, { basic, json: { scopes: scopes.slice(1) } });
        expect((await get(of(changed))).json.scopes_supported).toEqual(["orders:write"]);
      },
    },
    400: {
      "for two resources": () => get(`${of(audience)}&resource=x`),
      "for an empty resource": () => get(`${path}?resource=`),
      "for an unknown parameter": () => get(`${path}?audience=x`),
    },
    404: { "for an API that is not registered": () => get(of("https://unknown.example")) },
  },
});
