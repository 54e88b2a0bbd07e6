/** Reading and sealing authorization requests, without a service. */
import { describe, expect, test } from "vitest";
import type { Client } from "../../src/clients/storeTypes.ts";
import { clientId } from "../../src/identifiers.ts";
import { type ReadRequest, readRequest } from "../../src/oauth/authorization/request.ts";
import { createSealedRequests, maxSealedLength } from "../../src/oauth/authorization/sealed.ts";
import { createIdTokenHints } from "../../src/oauth/idTokenHints.ts";
import { blankClient } from "../support/blankClient.ts";

const callback = "https://app.example/callback";
const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const client: Client = {
  ...blankClient,
  id: clientId("lkc_1"),
  authentication: "none",
  grantTypes: ["authorization_code"],
  redirectUris: [callback],
};
const clients: readonly Client[] = [
  client,
  { ...client, id: clientId("lkc_two"), redirectUris: [callback, "https://app.example/other"] },
  { ...client, id: clientId("lkc_machine"), grantTypes: ["client_credentials"] },
  { ...client, id: clientId("lkc_none"), redirectUris: [] },
];
const sources = {
  findClient: async (id: string) => clients.find((one) => one.id === id),
  readIdTokenHint: createIdTokenHints({ keys: { find: async () => undefined }, issuer: "https://auth.example" }),
};

const valid = {
  response_type: "code",
  client_id: "lkc_1",
  redirect_uri: callback,
  code_challenge: challenge,
  code_challenge_method: "S256",
  state: "af0ifjsldkj",
};
type Sent = Record<string, string | undefined>;
const queryOf = (sent: Sent): string =>
  Object.entries(sent)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]))
    .join("&");
const read = (sent: Sent, more = ""): Promise<ReadRequest> =>
  readRequest(queryOf({ ...valid, ...sent }) + more, sources);

const fault = (error: string, { state }: { state?: string | undefined } = valid) => ({
  kind: "fault",
  client: expect.objectContaining({ name: client.name }),
  fault: { error, description: expect.stringMatching(/^[ !#-[\]-~]+\.$/) },
  redirectUri: callback,
  state,
});

test("a request is read", async () => {
  const sent = {
    scope: "openid orders:read",
    resource: "https://orders.example",
    nonce: "n-0S6_WzA2Mj",
    prompt: "login consent",
    max_age: "3600",
    login_hint: "miguel",
    dpop_jkt: challenge,
    ui_locales: "de",
    display: "popup",
    response_mode: "query",
    "an unknown parameter": "is ignored",
  };
  expect(await read(sent)).toEqual({
    kind: "valid",
    client,
    request: {
      clientId: client.id,
      redirectUri: callback,
      state: valid.state,
      scope: "openid orders:read",
      resource: "https://orders.example",
      codeChallenge: challenge,
      nonce: "n-0S6_WzA2Mj",
      prompts: ["login", "consent"],
      maxAgeSeconds: 3_600,
      loginHint: "miguel",
      dpopJkt: challenge,
    },
  });
});

test("empty parameters are like absent ones", async () => {
  const { request } = (await read({}, "&nonce=&prompt=&max_age=&scope&login_hint=&id_token_hint=&request=")) as {
    request: object;
  };
  expect(request).toEqual(((await read({})) as { request: object }).request);
});

test("a client with one redirect URI need not name it", async () => {
  expect(await read({ redirect_uri: undefined })).toMatchObject({ request: { redirectUri: callback } });
  const several = await read({ client_id: "lkc_two", redirect_uri: undefined });
  expect(several).toEqual({ kind: "untrusted", parameter: "redirect_uri", detail: "is required" });
});

test.each([
  ["a query", "a&b=c"],
  ["Unicode", "π € 🔑 \u202e"],
  ["a script", "</script><script>alert(1)</script>"],
  ["2,048 characters", "x".repeat(2_048)],
])("a state with %s is returned as it was sent", async (_, state) => {
  expect(await read({ state })).toMatchObject({ kind: "valid", request: { state } });
});

describe("the user is told on a page, without a redirect, of", () => {
  test.each<[string, Sent, string, string?]>([
    ["a client that is missing", { client_id: undefined }, "client_id"],
    ["a client that is empty", { client_id: "" }, "client_id"],
    ["a client that does not exist", { client_id: "lkc_2" }, "client_id"],
    ["a client id with a NUL", { client_id: "lkc_1\0" }, "client_id"],
    ["a client id of 100 kB", { client_id: "x".repeat(100_000) }, "client_id"],
    ["two clients", {}, "client_id", "&client_id=lkc_1"],
    ["two clients, one of them with an encoded name", {}, "client_id", "&client%5Fid=lkc_1"],
    ["two redirect URIs", {}, "redirect_uri", `&redirect_uri=${callback}`],
    ["two redirect URIs, one of them empty", {}, "redirect_uri", "&redirect_uri="],
    ["another redirect URI", { redirect_uri: "https://evil.example" }, "redirect_uri"],
    ["a client without redirect URIs", { client_id: "lkc_none", redirect_uri: undefined }, "redirect_uri"],
    ["bytes that are not UTF-8", {}, "query", "&x=%ff"],
    ["a surrogate", {}, "query", "&x=%ed%a0%80"],
    ["a malformed escape", {}, "query", "&x=%zz"],
  ])("%s", async (_, sent, parameter, more) => {
    expect(await read(sent, more)).toMatchObject({ kind: "untrusted", parameter });
  });
});

describe("the client is told of", () => {
  test.each<[string, string, Sent, string?]>([
    ["no response type", "invalid_request", { response_type: undefined }],
    ["the implicit grant", "unsupported_response_type", { response_type: "token" }],
    ["the hybrid flow", "unsupported_response_type", { response_type: "code id_token" }],
    ["a response type in upper case", "unsupported_response_type", { response_type: "CODE" }],
    ["the response mode fragment", "invalid_request", { response_mode: "fragment" }],
    ["the response mode form_post", "invalid_request", { response_mode: "form_post" }],
    ["the response mode web_message", "invalid_request", { response_mode: "web_message" }],
    ["the response mode query.jwt", "invalid_request", { response_mode: "query.jwt" }],
    ["a response mode in upper case", "invalid_request", { response_mode: "QUERY" }],
    ["a repeated response mode", "invalid_request", { response_mode: "query" }, "&response_mode=fragment"],
    ["a hint that is no ID token", "invalid_request", { id_token_hint: "x.y.z" }],
    ["a hint of 100 kB", "invalid_request", { id_token_hint: "x".repeat(100_000) }],
    ["no challenge", "invalid_request", { code_challenge: undefined, code_challenge_method: undefined }],
    ["a challenge without a method, which means plain", "invalid_request", { code_challenge_method: undefined }],
    ["the method plain", "invalid_request", { code_challenge_method: "plain" }],
    ["a method in lower case", "invalid_request", { code_challenge_method: "s256" }],
    ["a short challenge", "invalid_request", { code_challenge: challenge.slice(1) }],
    ["a long challenge", "invalid_request", { code_challenge: `${challenge}A` }],
    ["a challenge in base64", "invalid_request", { code_challenge: challenge.replace("-", "+") }],
    ["a challenge with unused bits", "invalid_request", { code_challenge: challenge.replace(/M$/, "N") }],
    ["a challenge with padding", "invalid_request", { code_challenge: `${challenge}=` }],
    ["a request object", "request_not_supported", { request: "eyJhbGciOiJub25lIn0.e30." }],
    ["the URI of a request object", "request_uri_not_supported", { request_uri: "https://evil.example/request" }],
    ["registration", "registration_not_supported", { registration: "{}" }],
    ["a nonce of 1 kB", "invalid_request", { nonce: "x".repeat(1_024) }],
    ["a nonce with a NUL", "invalid_request", { nonce: "a\0b" }],
    ["an unknown prompt", "invalid_request", { prompt: "create" }],
    ["two spaces in prompt", "invalid_request", { prompt: "login  consent" }],
    ["prompt=none with another", "invalid_request", { prompt: "none login" }],
    ["a negative max_age", "invalid_request", { max_age: "-1" }],
    ["a max_age that is no number", "invalid_request", { max_age: "1e3" }],
    ["a huge max_age", "invalid_request", { max_age: "1".repeat(400) }],
    ["a malformed thumbprint", "invalid_request", { dpop_jkt: "x" }],
    ["a repeated scope", "invalid_request", { scope: "openid" }, "&scope=openid"],
    ["a repeated unknown parameter", "invalid_request", {}, "&x=1&x=1"],
    ["a repeated challenge", "invalid_request", {}, `&code_challenge=${challenge}`],
    ["several resources", "invalid_target", { resource: "https://a.example" }, "&resource=https://b.example"],
  ])("%s", async (_, error, sent, more) => {
    expect(await read(sent, more)).toEqual(fault(error));
  });

  test("a grant that the client is not registered for", async () => {
    expect(await read({ client_id: "lkc_machine" })).toEqual(fault("unauthorized_client"));
  });

  test("a state of 100 kB, without the state", async () => {
    expect(await read({ state: "x".repeat(100_000) })).toEqual(fault("invalid_request", {}));
  });

  test("a repeated state, without a state", async () => {
    expect(await read({}, "&state=other")).toEqual(fault("invalid_request", {}));
  });
});

test.each([
  ["257 characters", "x".repeat(257)],
  ["a line break", "mi\nguel"],
])("a login hint with %s is ignored", async (_, hint) => {
  expect(await read({ login_hint: hint })).toMatchObject({ kind: "valid", request: { loginHint: undefined } });
});

describe("a sealed request", async () => {
  let nowMs = 1_000_000;
  const clock = () => new Date(nowMs);
  const requests = createSealedRequests(["a secret key of the service", "the previous secret key"], clock);
  const { request: readOne } = (await read({})) as Extract<ReadRequest, { kind: "valid" }>;
  const request = { ...readOne, id: "0199aaaa-0000-7000-8000-000000000000", beganAtMs: nowMs, code: "x" };
  const browser = { cookie: "the cookie of a browser" };
  const sealed = (await requests.seal(request, browser)) as string;

  test("opens in the browser that began it", async () => {
    expect(await requests.open(sealed, browser)).toEqual(JSON.parse(JSON.stringify(request)));
  });

  test("reveals nothing of the request", () => {
    const readable = sealed.split(".").map((part) => Buffer.from(part, "base64url").toString("latin1"));
    expect(readable.join()).not.toMatch(/lkc_1|app\.example|af0ifjsldkj/);
  });

  test("does not open in another browser, or through the API", async () => {
    expect(await requests.open(sealed, { cookie: "the cookie of another browser" })).toBeUndefined();
    expect(await requests.open(sealed, { cookie: "" })).toBeUndefined();
    expect(await requests.open(sealed, "api")).toBeUndefined();
  });

  test("for the API does not open in a browser", async () => {
    const forApi = (await requests.seal(request, "api")) as string;
    expect(await requests.open(forApi, "api")).toMatchObject({ id: request.id });
    expect(await requests.open(forApi, browser)).toBeUndefined();
    expect(await requests.open(forApi, { cookie: "api" })).toBeUndefined();
  });

  test("opens for ten minutes", async () => {
    nowMs += 599_999;
    expect(await requests.open(sealed, browser)).toMatchObject({ id: request.id });
    nowMs += 1;
    expect(await requests.open(sealed, browser)).toBeUndefined();
    nowMs -= 600_000;
  });

  test("opens while the secret key is being changed", async () => {
    const later = createSealedRequests(["the next secret key", "a secret key of the service"], clock);
    expect(await later.open(sealed, browser)).toMatchObject({ id: request.id });
    const afterwards = createSealedRequests(["the next secret key"], clock);
    expect(await afterwards.open(sealed, browser)).toBeUndefined();
  });

  test("does not open if it was altered", async () => {
    const parts = sealed.split(".");
    for (const [index, part] of parts.entries()) {
      const altered = part === "" ? "AA" : (part.startsWith("A") ? "B" : "A") + part.slice(1);
      const text = parts.with(index, altered).join(".");
      expect(await requests.open(text, browser), `part ${index}`).toBeUndefined();
    }
  });

  test.each([
    ["nothing", ""],
    ["dots", "...."],
    ["garbage", "garbage"],
    ["a header without encryption", `${Buffer.from('{"alg":"none"}').toString("base64url")}..e30..`],
    ["Unicode", "π".repeat(40)],
    ["100 kB", "A".repeat(100_000)],
    ["100 kB of the right form", `${sealed}${"A".repeat(100_000)}`],
  ])("that is %s does not open", async (_, text) => {
    expect(await requests.open(text, browser)).toBeUndefined();
  });

  test("has a length that a URL can have", async () => {
    expect(sealed.length).toBeLessThan(1_000);
    const long = { ...request, state: "x".repeat(2_048) };
    expect((await requests.seal(long, browser))?.length).toBeLessThan(maxSealedLength);
    expect(await requests.seal({ ...long, scope: "x".repeat(4_000) }, browser)).toBeUndefined();
  });
});
