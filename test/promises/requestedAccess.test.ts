/** Which audience and scopes a client gets for what it asks for. */
import { describe, expect, test } from "vitest";
import { type AccessRequest, narrowedAccess, requestedAccess } from "../../src/oauth/requestedAccess.ts";
import { Problem } from "../../src/problems/problems.ts";

const issuer = "https://auth.example";
const orders = "https://orders.example";
const bills = "https://bills.example";

const apiScopes = new Map([
  [orders, new Set(["orders:read", "orders:write", "reports:read"])],
  [bills, new Set(["bills:read", "reports:read"])],
]);

type Asking = { scopes: string[]; audiences?: string[]; grantTypes?: ("authorization_code" | "client_credentials")[] };

const access = ({ scopes, audiences = [], grantTypes = ["authorization_code"] }: Asking, request: AccessRequest) =>
  requestedAccess(
    {
      client: { scopes, audiences, grantTypes },
      issuer,
      apiScopes: new Map([...apiScopes].filter(([audience]) => audiences.includes(audience))),
    },
    request,
  );

const slugOf = (ask: () => unknown) => {
  try {
    return ask();
  } catch (error) {
    return error instanceof Problem ? error.slug : error;
  }
};

const shop = { scopes: ["orders:read", "reports:read", "bills:read", "users:read"], audiences: [orders, bills] };

describe("the audience", () => {
  test.each<[string, Asking, AccessRequest, string, string[]]>([
    ["that is requested", shop, { resource: orders }, orders, ["orders:read", "reports:read"]],
    ["that is requested, with scopes", shop, { resource: bills, scope: "reports:read" }, bills, ["reports:read"]],
    ["of the service, if it is requested", shop, { resource: issuer }, issuer, ["users:read"]],
    ["of the service, if all scopes are its own", shop, { scope: "users:read" }, issuer, ["users:read"]],
    [
      "of the only API that has the scopes",
      shop,
      { scope: "bills:read reports:read" },
      bills,
      ["bills:read", "reports:read"],
    ],
    [
      "of an API, with scopes of OpenID Connect",
      shop,
      { scope: "openid orders:read" },
      orders,
      ["openid", "orders:read"],
    ],
    [
      "of the service, with only scopes of OpenID Connect",
      shop,
      { scope: "openid profile" },
      issuer,
      ["openid", "profile"],
    ],
    ["of the service by default, if the client has scopes of it", shop, {}, issuer, ["users:read"]],
    ["of the service by default, without scopes", { scopes: [] }, {}, issuer, []],
    [
      "of the only API by default, if the client has no other scopes",
      { scopes: ["openid", "orders:read", "gone:read"], audiences: [orders] },
      {},
      orders,
      ["openid", "orders:read"],
    ],
  ])("is the one %s", (_case, client, request, audience, scopes) => {
    expect(access(client, request)).toEqual({ audience, scopes });
  });
});

test.each<[string, Asking, AccessRequest, string]>([
  ["a scope that the client may not ask for", shop, { scope: "orders:write" }, "invalid-scope"],
  ["a scope that nobody knows", shop, { scope: "moon:read" }, "invalid-scope"],
  ["a scope of another audience", shop, { resource: bills, scope: "orders:read" }, "invalid-scope"],
  ["scopes of two audiences", shop, { scope: "orders:read users:read" }, "invalid-scope"],
  ["a scope that two APIs have", shop, { scope: "reports:read" }, "invalid-scope"],
  ["a malformed scope", shop, { scope: "orders:read  users:read" }, "invalid-scope"],
  ["a scope twice", shop, { scope: "orders:read orders:read" }, "invalid-scope"],
  ["an audience that the client may not use", { scopes: [] }, { resource: orders }, "invalid-target"],
  [
    "an API that was deleted",
    { scopes: [], audiences: ["https://gone.example"] },
    { resource: "https://gone.example" },
    "invalid-target",
  ],
  ["nothing, with several APIs", { scopes: ["bills:read"], audiences: [orders, bills] }, {}, "invalid-scope"],
  [
    "a scope of OpenID Connect, without a grant that acts for users",
    { scopes: [], grantTypes: ["client_credentials"] },
    { scope: "openid" },
    "invalid-scope",
  ],
])("a request for %s is rejected", (_case, client, request, slug) => {
  expect(slugOf(() => access(client, request))).toBe(slug);
});

describe("a refresh", () => {
  const granted = { audience: orders, scopes: ["openid", "orders:read", "orders:write"] };

  test("gets what was granted, or a part of it", () => {
    expect(narrowedAccess(granted, {})).toEqual(granted);
    const part = narrowedAccess(granted, { resource: orders, scope: "orders:read" });
    expect(part).toEqual({ audience: orders, scopes: ["orders:read"] });
  });

  test.each([
    ["another scope", { scope: "orders:read reports:read" }, "invalid-scope"],
    ["another audience", { resource: issuer }, "invalid-target"],
  ])("is rejected for %s", (_case, request, slug) => {
    expect(slugOf(() => narrowedAccess(granted, request))).toBe(slug);
  });
});
