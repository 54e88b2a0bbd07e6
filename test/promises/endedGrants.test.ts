/**
 * What a client has got ends with the grant of its user, or with the client: on the instance that ends it at once, and on others and
 * in the services that accept its tokens within a second.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { openConsent, registerApp, requestOf, signedInBrowser } from "../support/authorizations.ts";
import { deviceCodeGrant } from "../support/clientRows.ts";
import { newProofKey, proofFor } from "../support/dpop.ts";
import { audience } from "../support/fakeLatchkey.ts";
import { issueCode } from "../support/oauthCodes.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { type ApiUser, issuer, verifiedApi } from "../support/verifiedApi.ts";

const here = await startTestService();
const there = await startTestService({}, here.databaseUrl);
const { admin, verifier, start, user, asAdmin } = await verifiedApi(here);
const elsewhere = start({ url: there.url });
await elsewhere.ready();
const key = await newProofKey();
const proof = (method: string, path: string, token?: string) =>
  proofFor(key, { method, url: issuer + path, ...(token !== undefined && { token }) });

type Tokens = { access_token: string; refresh_token: string };

/** A client, and what a user has allowed it: tokens for Latchkey, the same bound to a key, and tokens for an API. */
async function allowedClient(owner: ApiUser) {
  const { client_id } = await registerApp(here, admin, {
    grant_types: ["authorization_code", "refresh_token", deviceCodeGrant],
    scopes: ["account:read", "orders:read"],
    audiences: [audience],
  });
  const ask = async (form: Record<string, string>, isBound = false, service = here) =>
    service.send("POST", "/oauth/token", {
      form: { ...form, client_id, grant_type: form["grant_type"] ?? "refresh_token" },
      headers: isBound ? { dpop: await proof("POST", "/oauth/token") } : {},
    });
  const code = (access: { audience?: string; scopes?: string[] } = {}) =>
    issueCode(here, { clientId: client_id, userId: owner.id, ...access });
  const [own, bound, forApi] = [
    (await ask(await code())).json,
    (await ask(await code(), true)).json,
    (await ask(await code({ audience, scopes: ["orders:read"] }))).json,
  ] as [Tokens, Tokens, Tokens];
  const refreshes = (service: TestService) => [
    ask({ refresh_token: own.refresh_token }, false, service),
    ask({ refresh_token: bound.refresh_token }, true, service),
    ask({ refresh_token: forApi.refresh_token }, false, service),
  ];

  /** Whether each is accepted at an instance, or in a service beside it. */
  const uses = (service: TestService): Record<string, () => Promise<boolean>> => ({
    "a token": async () => (await service.send("GET", "/api/sessions", { bearer: own.access_token })).status === 200,
    "a bound token": async () => {
      const dpop = await proof("GET", "/api/sessions", bound.access_token);
      const headers = { authorization: `DPoP ${bound.access_token}`, dpop };
      return (await service.send("GET", "/api/sessions", { headers })).status === 200;
    },
    introspection: async () => {
      const asked = [own, bound, forApi].map(({ access_token: token }) =>
        service.send("POST", "/oauth/introspect", { basic: admin, form: { token } }),
      );
      return (await Promise.all(asked)).some(({ json }) => json.active === true);
    },
    "a proxy": async () => {
      const target = `/api/forward-auth?audience=${encodeURIComponent(audience)}`;
      return (await service.send("GET", target, { bearer: forApi.access_token })).status === 204;
    },
  });
  const verified = [verifier, elsewhere].map(
    (asked) => async () => typeof (await asked.ask(forApi.access_token)) !== "string",
  );
  return { client_id, refreshes, uses, verified };
}

type Allowed = Awaited<ReturnType<typeof allowedClient>>;

async function expectAccepted({ uses, verified }: Allowed): Promise<void> {
  for (const service of [here, there]) {
    for (const [name, isAccepted] of Object.entries(uses(service))) expect(await isAccepted(), name).toBe(true);
  }
  for (const isAccepted of verified) expect(await isAccepted()).toBe(true);
}

/** Asks until the answer is no. */
async function untilRefused(isAccepted: () => Promise<boolean>): Promise<number> {
  const began = performance.now();
  while (await isAccepted()) await sleep(2);
  return performance.now() - began;
}

const endings: [string, (owner: ApiUser, clientId: string) => Promise<void>][] = [
  [
    "the user withdraws the grants",
    async ({ basic }, clientId) => {
      const { json } = await here.send("GET", "/api/grants", { basic });
      const grants = json.grants.filter(({ client_id }: { client_id: string }) => client_id === clientId);
      expect(grants).toHaveLength(2);
      for (const { id } of grants) expect((await here.send("DELETE", `/api/grants/${id}`, { basic })).status).toBe(204);
    },
  ],
  ["the client is deleted", async (_, clientId) => void (await asAdmin("DELETE", `/api/clients/${clientId}`))],
];

describe.each(endings)("when %s", (_name, end) => {
  test("its tokens are refused here at once, and everywhere within a second; other clients keep theirs", async () => {
    const owner = await user();
    const [ended, kept] = [await allowedClient(owner), await allowedClient(owner)];
    await expectAccepted(ended);
    await end(owner, ended.client_id);
    for (const [name, isAccepted] of Object.entries(ended.uses(here))) expect(await isAccepted(), name).toBe(false);
    const refreshed = await Promise.all([here, there].flatMap(ended.refreshes));
    for (const { json } of refreshed) expect(json.error).toMatch(/^invalid_(grant|client)$/);
    const waits = [...Object.values(ended.uses(there)), ...ended.verified].map(untilRefused);
    expect(Math.max(...(await Promise.all(waits)))).toBeLessThan(1_000);
    await expectAccepted(kept);
    for (const { status } of await Promise.all(kept.refreshes(there))) expect(status).toBe(200);
  });
});

test("a browser whose session has ended decides nothing, at any instance", async () => {
  const { username, basic } = await user();
  const client = await registerApp(here, admin, { grant_types: ["authorization_code", deviceCodeGrant] });
  const browser = await signedInBrowser(here, username, client);
  const authorization = await openConsent(browser, requestOf(client).query);
  const [, token = ""] = /name="token" value="([^"]+)"/.exec((await browser.get("/oauth/device")).text) ?? [];
  const form = { client_id: client.client_id };
  const { user_code } = (await here.send("POST", "/oauth/device-authorization", { form })).json;
  const cookie = [...browser.cookies].map((pair) => pair.join("=")).join("; ");
  const id = browser.cookies.get("__Host-latchkey")?.slice(0, 36);
  expect((await here.send("DELETE", `/api/sessions/${id}`, { basic })).status).toBe(204);
  for (const service of [here, there]) {
    const post = (target: string, sent: Record<string, string>) =>
      service.send("POST", target, { form: { ...sent, decision: "allow" }, headers: { cookie } });
    expect((await post("/oauth/consent", { authorization })).header("location")).toMatch(/^sign-in\?/);
    expect((await post("/oauth/device", { token, user_code })).header("location")).toMatch(/^sign-in\?/);
  }
  expect(await here.sql("SELECT FROM grants WHERE client_id = $1", [client.client_id])).toEqual([]);
});
