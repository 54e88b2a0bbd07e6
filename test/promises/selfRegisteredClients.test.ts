/** Clients that registered themselves: nobody vouches for what they say (RFC 7591, section 5; RFC 9700, section 4.11.2). */
import { generateKeyPairSync, type JsonWebKey } from "node:crypto";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import {
  createBrowser,
  openConsent,
  type Query,
  registerApp,
  requestOf,
  resultOf,
  signedInBrowser,
} from "../support/authorizations.ts";
import { listen } from "../support/ports.ts";
import { startTestService, type TestService } from "../support/service.ts";

const service = await startTestService({
  CLIENT_REGISTRATION: "on",
  CLIENT_ID_METADATA: "on",
  CLIENT_REGISTRATION_SCOPES: "openid,tokens:introspect",
});
const admin = await service.administrator();
await service.register("miguel");
const browser = await signedInBrowser(service, "miguel", await registerApp(service, admin));

const register = (members: Record<string, unknown>) =>
  service.send("POST", "/oauth/register", { json: { client_name: "Bank", ...members } });
/** @returns a client that returns to this URI, and the parameters of its requests */
async function registered(uri: string) {
  const uris = { redirect_uris: [uri], post_logout_redirect_uris: [uri] };
  const { json: client } = await register({ ...uris, token_endpoint_auth_method: "none" });
  const queryOf = (more: Query = {}) => requestOf(client, { redirect_uri: uri, scope: "openid", ...more }).query;
  return { client, queryOf };
}

describe("the browser is not sent to the page of such a client before its user has decided", () => {
  const uri = "https://evil.example/phishing";
  const faults: [string, Query][] = [
    ["an unknown scope", { scope: "call-this-number" }],
    ["another response type", { response_type: "token" }],
    ["no challenge", { code_challenge: undefined }],
    ["prompt=none", { prompt: "none" }],
  ];

  test.each(faults)("by %s", async (_case, more) => {
    const { queryOf } = await registered(uri);
    for (const one of [createBrowser(service), browser]) {
      const answer = await one.authorize(queryOf(more));
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      expect(answer.header("location")).toBeUndefined();
      expect(answer.text).toMatch(/The error is [a-z_]+\./);
      expect(answer.text).not.toContain("call-this-number");
    }
  });

  test("by a sign-out without a session", async () => {
    const { client } = await registered(uri);
    const parameters = new URLSearchParams({ client_id: client.client_id, post_logout_redirect_uri: uri });
    const answer = await createBrowser(service).get(`/oauth/sign-out?${parameters}`);
    expect(answer.status).toBe(200);
    expect(answer.text).toContain("You are signed out");
  });

  test("but is after that, also by prompt=none", async () => {
    const { queryOf } = await registered("https://honest.example/callback");
    const denied = await browser.decide(await openConsent(browser, queryOf()), "deny");
    expect(resultOf(denied)).toMatchObject({ error: "access_denied" });
    await browser.decide(await openConsent(browser, queryOf()), "allow");
    expect(resultOf(await browser.authorize(queryOf({ prompt: "none" })))).toHaveProperty("code");
  });

  test("but may be sent to a program on its own machine", async () => {
    for (const own of ["http://127.0.0.1/callback", "http://localhost:3000/callback", "com.example.app:/callback"]) {
      const { queryOf } = await registered(own);
      expect(resultOf(await browser.authorize(queryOf({ scope: "unknown" })))).toMatchObject({
        error: "invalid_scope",
      });
    }
  });
});

test("the consent page does not show what follows a private scheme as the host of the client", async () => {
  const { queryOf } = await registered("com.evil.app://bank.example/callback");
  const authorization = await openConsent(browser, queryOf());
  const { text } = await browser.get(`/oauth/consent?authorization=${authorization}`);
  expect(text).toContain("Bank at com.evil.app: asks for access");
  expect(text).not.toContain("bank.example");
});

test("the consent page shows the host of a client's document, and not the loopback address that others have as well", async () => {
  const id = "https://tools.example/client.json";
  const uri = "http://127.0.0.1:4000/callback";
  await service.sql(
    `INSERT INTO clients (id, registration, authentication, name, grant_types, redirect_uris, scopes, document_expires_at)
     VALUES ($1, 'metadata-document', 'none', 'Editor', '{authorization_code}', $2, '{openid}', now() + interval '1 hour')`,
    [id, [uri]],
  );
  const { query } = requestOf({ client_id: id }, { redirect_uri: uri, scope: "openid" });
  const { text } = await browser.get(`/oauth/consent?authorization=${await openConsent(browser, query)}`);
  expect(text).toContain("Editor at tools.example asks for access");
});

test("such a client does not introspect tokens by itself, although users may allow it", async () => {
  const { json } = await register({ redirect_uris: ["https://app.example/callback"] });
  expect(json.scope).toContain("tokens:introspect");
  const { client_id, client_secret } = json;
  const answer = await service.send("POST", "/oauth/introspect", { form: { token: "any", client_id, client_secret } });
  expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
});

describe("a client whose document would be on the machine of the service", () => {
  const audited = (from: TestService) => from.log.filter((line) => line.includes('"client-document-refused"'));
  async function ask(from: TestService) {
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.on("error", () => {});
    });
    const client_id = `https://127.0.0.1:${await listen(server)}/client.json`;
    const answer = await createBrowser(from).authorize(requestOf({ client_id }).query);
    return { answer, connections };
  }

  test("is refused without a connection", async () => {
    const { answer, connections } = await ask(service);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(connections).toBe(0);
    expect(audited(service)).toHaveLength(1);
  });

  test("is unknown if CLIENT_ID_METADATA is off, and nothing is fetched", async () => {
    const other = await startTestService();
    const { answer, connections } = await ask(other);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(connections).toBe(0);
    expect(audited(other)).toEqual([]);
  });
});

test("the start warns about APIs for such clients that are not registered", async () => {
  const [known, unknown] = ["https://orders.example", "https://odrers.example"];
  const json = { audience: known, name: "Orders", scopes: [] };
  expect((await service.send("POST", "/api/apis", { basic: admin, json })).status).toBe(201);
  const settings = { CLIENT_REGISTRATION: "on", CLIENT_REGISTRATION_AUDIENCES: [known, unknown].join(",") };
  const other = await startTestService(settings, service.databaseUrl);
  const warnings = () => other.log.filter((line) => line.includes("names an API that is not registered"));
  await expect.poll(warnings, { timeout: 15_000 }).toHaveLength(1);
  expect(JSON.parse(warnings()[0] ?? "")).toMatchObject({ level: 40, audience: unknown });
});

describe("keys", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key: JsonWebKey = publicKey.export({ format: "jwk" });
  const registerKey = (one: object) =>
    register({
      redirect_uris: ["https://app.example/callback"],
      token_endpoint_auth_method: "private_key_jwt",
      jwks: { keys: [one] },
    });

  test("are stored with the members that the contract describes, and no others", async () => {
    const known = { ...key, kid: "one", use: "sig", alg: "ES256" };
    const answer = await registerKey({ ...known, x5c: ["certificate"], note: "\0\ud800", deep: { a: [1] } });
    expect(answer).toMatchObject({ status: 201, json: { jwks: { keys: [known] } } });
    const { json } = await service.send("GET", `/api/clients/${answer.json.client_id}`, { basic: admin });
    expect(json.jwks.keys).toEqual([known]);
    expect((await service.send("GET", "/api/clients?limit=100", { basic: admin })).status).toBe(200);
  });

  const { p = "" } = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  test.each<[string, object]>([
    ["a NUL in the id", { ...key, kid: "a\0b" }],
    ["a lone surrogate in the id", { ...key, kid: "\ud800" }],
    ["an id of 300 characters", { ...key, kid: "x".repeat(300) }],
    ["another use", { ...key, use: "enc" }],
    ["a private part", privateKey.export({ format: "jwk" })],
    ["another secret part", { ...key, p }],
    ["a symmetric key", { kty: "oct", k: "AAAA" }],
  ])("with %s are refused", async (_case, one) => {
    expect(await registerKey(one)).toMatchObject({ status: 400, json: { error: "invalid_client_metadata" } });
  });
});
