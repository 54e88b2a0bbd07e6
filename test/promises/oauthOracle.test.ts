/**
 * Malformed and hostile requests of OAuth get the same outcome as from oidc-provider, a certified server. Where they do not, the
 * table says why.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Provider } from "oidc-provider";
import { afterAll, expect, test } from "vitest";
import { basicAuthorization } from "../support/client.ts";
import { startTestService } from "../support/service.ts";

type Parameters = readonly (readonly [name: string, value: string])[];

/** One of the servers, with a confidential and a public client. */
type Server = {
  authorizationEndpoint: string;
  tokenEndpoint: string;
  introspectionEndpoint: string;
  revocationEndpoint: string;
  userinfoEndpoint: string;
  deviceAuthorizationEndpoint: string;
  /** The beginnings of the URLs at which it asks the user. */
  interactions: string;
  confidential: { id: string; secret: string };
  publicId: string;
};

const redirectUri = "https://app.example/cb";
const grantTypes = [
  "authorization_code",
  "refresh_token",
  "client_credentials",
  "urn:ietf:params:oauth:grant-type:device_code",
];

async function startOracle(): Promise<Server> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  afterAll(() => void listener.close());
  const issuer = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const secret = "a-secret-of-the-confidential-client";
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "confidential",
        client_secret: secret,
        redirect_uris: [redirectUri],
        grant_types: grantTypes,
        response_types: ["code"],
      },
      {
        client_id: "public",
        application_type: "native",
        redirect_uris: ["http://127.0.0.1/cb"],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: "none",
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    interactions: { url: () => "/interaction" },
    scopes: ["openid", "profile", "offline_access"],
    cookies: { keys: ["a key"] },
    pkce: { required: () => true },
  });
  listener.on("request", provider.callback());
  return {
    authorizationEndpoint: `${issuer}/auth`,
    tokenEndpoint: `${issuer}/token`,
    introspectionEndpoint: `${issuer}/token/introspection`,
    revocationEndpoint: `${issuer}/token/revocation`,
    userinfoEndpoint: `${issuer}/me`,
    deviceAuthorizationEndpoint: `${issuer}/device/auth`,
    interactions: `${issuer}/interaction`,
    confidential: { id: "confidential", secret },
    publicId: "public",
  };
}

async function startLatchkey(): Promise<Server> {
  const service = await startTestService();
  const basic = await service.administrator();
  const create = async (client: object) => {
    const { status, json } = await service.send("POST", "/api/clients", { basic, json: client });
    expect(status, JSON.stringify(json)).toBe(201);
    return json;
  };
  const confidential = await create({ name: "App", grant_types: grantTypes, redirect_uris: [redirectUri] });
  const open = await create({
    name: "Tool",
    public: true,
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["http://127.0.0.1/cb"],
  });
  const { url } = service;
  return {
    authorizationEndpoint: `${url}/oauth/authorize`,
    tokenEndpoint: `${url}/oauth/token`,
    introspectionEndpoint: `${url}/oauth/introspect`,
    revocationEndpoint: `${url}/oauth/revoke`,
    userinfoEndpoint: `${url}/oauth/userinfo`,
    deviceAuthorizationEndpoint: `${url}/oauth/device-authorization`,
    interactions: "/oauth/",
    confidential: { id: confidential.client_id, secret: confidential.client_secret },
    publicId: open.client_id,
  };
}

const servers = { latchkey: await startLatchkey(), oracle: await startOracle() };

/** `interaction`: asks the user. `page`: shows an error without redirecting. `redirect …`: to the client, with an error. */
async function outcomeOfAuthorization(server: Server, parameters: Parameters, method = "GET"): Promise<string> {
  const query = new URLSearchParams(parameters.map(([name, value]): [string, string] => [name, value]));
  const target = method === "GET" ? `${server.authorizationEndpoint}?${query}` : server.authorizationEndpoint;
  const body = method === "GET" ? {} : { body: query };
  const response = await fetch(target, { method, redirect: "manual", ...body });
  const location = response.headers.get("location");
  if (location === null) return `page ${response.status}`;
  const to = new URL(location, server.authorizationEndpoint);
  if (`${to.origin}${to.pathname}`.startsWith(new URL(server.interactions, server.authorizationEndpoint).href)) {
    return "interaction";
  }
  const hasState = parameters.some(([name]) => name === "state");
  if (server === servers.latchkey && parameters.filter(([name]) => name === "state").length === 1 && hasState)
    expect(to.searchParams.get("state")).toBe(parameters.find(([name]) => name === "state")?.[1] ?? null);
  return `redirect ${to.searchParams.get("error")}`;
}

/** The status and the error code. */
async function outcomeOf(response: Promise<Response>): Promise<string> {
  const { status, headers, ...rest } = await response.then(async (received) => ({
    status: received.status,
    headers: received.headers,
    text: await received.text(),
  }));
  if (!headers.get("content-type")?.startsWith("application/json")) return `${status}`;
  const { error, active } = JSON.parse(rest.text);
  return [status, error ?? (active === undefined ? "" : `active: ${active}`)].join(" ").trim();
}

/** An authorization request of the confidential client, with some parameters replaced, added or (`undefined`) left out. */
function authorizationOf(changes: Record<string, string | readonly string[] | undefined>, ofPublic = false) {
  return (server: Server): Parameters => {
    const parameters: Record<string, string | readonly string[] | undefined> = {
      client_id: ofPublic ? server.publicId : server.confidential.id,
      response_type: "code",
      redirect_uri: ofPublic ? "http://127.0.0.1:8765/cb" : redirectUri,
      scope: "openid",
      state: "a-state",
      code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      code_challenge_method: "S256",
      ...changes,
    };
    return Object.entries(parameters).flatMap(([name, value]) =>
      value === undefined ? [] : [value].flat().map((each) => [name, each] as const),
    );
  };
}

type AuthorizationCase = { name: string; parameters: (server: Server) => Parameters; method?: string };

const authorizationCases: AuthorizationCase[] = [
  { name: "a valid request", parameters: authorizationOf({}) },
  { name: "POST", parameters: authorizationOf({}), method: "POST" },
  { name: "no client_id", parameters: authorizationOf({ client_id: undefined }) },
  { name: "an unknown client", parameters: authorizationOf({ client_id: "nobody" }) },
  { name: "two clients", parameters: authorizationOf({ client_id: ["nobody", "somebody"] }) },
  { name: "no redirect URI", parameters: authorizationOf({ redirect_uri: undefined }) },
  ...[
    "https://evil.example/cb",
    "https://app.example/cb/",
    "https://app.example/",
    "https://app.example/CB",
    "https://APP.example/cb",
    "https://app.example./cb",
    "https://app.example:443/cb",
    "https://app.example:8443/cb",
    "http://app.example/cb",
    "https://app.example/cb?next=/",
    "https://app.example/cb#fragment",
    "https://app.example/x/../cb",
    "https://app.example/%63b",
    "https://app.example/cb%00",
    "https://app.example.evil.example/cb",
    "https://app.example@evil.example/cb",
    "https://evil.example\\@app.example/cb",
    "//app.example/cb",
    "/cb",
    "javascript:alert(1)",
    "https://аpp.example/cb",
  ].map((uri) => ({ name: `the redirect URI ${uri}`, parameters: authorizationOf({ redirect_uri: uri }) })),
  { name: "two redirect URIs", parameters: authorizationOf({ redirect_uri: [redirectUri, "https://evil.example"] }) },
  { name: "another port of the loopback address", parameters: authorizationOf({}, true) },
  ...[
    "http://localhost:8765/cb",
    "http://[::1]:8765/cb",
    "http://127.0.0.2:8765/cb",
    "http://127.0.0.1:8765/other",
  ].map((uri) => ({ name: `a tool's redirect URI ${uri}`, parameters: authorizationOf({ redirect_uri: uri }, true) })),
  { name: "no response_type", parameters: authorizationOf({ response_type: undefined }) },
  ...["token", "id_token", "code id_token", "code token", "none", "CODE", "code "].map((value) => ({
    name: `the response type "${value}"`,
    parameters: authorizationOf({ response_type: value }),
  })),
  { name: "two response types", parameters: authorizationOf({ response_type: ["code", "code"] }) },
  {
    name: "no challenge",
    parameters: authorizationOf({ code_challenge: undefined, code_challenge_method: undefined }),
  },
  { name: "a method without a challenge", parameters: authorizationOf({ code_challenge: undefined }) },
  { name: "no method of the challenge", parameters: authorizationOf({ code_challenge_method: undefined }) },
  { name: "the method plain", parameters: authorizationOf({ code_challenge_method: "plain" }) },
  { name: "the method s256", parameters: authorizationOf({ code_challenge_method: "s256" }) },
  { name: "a challenge of 42 characters", parameters: authorizationOf({ code_challenge: "a".repeat(42) }) },
  { name: "a challenge of 129 characters", parameters: authorizationOf({ code_challenge: "a".repeat(129) }) },
  { name: "a challenge with other characters", parameters: authorizationOf({ code_challenge: `${"a".repeat(42)}+` }) },
  { name: "two challenges", parameters: authorizationOf({ code_challenge: ["a".repeat(43), "b".repeat(43)] }) },
  { name: "no scope", parameters: authorizationOf({ scope: undefined }) },
  { name: "an empty scope", parameters: authorizationOf({ scope: "" }) },
  { name: "an unknown scope", parameters: authorizationOf({ scope: "openid unknown" }) },
  { name: "the scopes that most clients ask for", parameters: authorizationOf({ scope: "openid profile email" }) },
  { name: "two spaces in the scope", parameters: authorizationOf({ scope: "openid  profile" }) },
  { name: "a scope twice", parameters: authorizationOf({ scope: "openid openid" }) },
  { name: "two scope parameters", parameters: authorizationOf({ scope: ["openid", "profile"] }) },
  { name: "no state", parameters: authorizationOf({ state: undefined }) },
  { name: "an empty state", parameters: authorizationOf({ state: "" }) },
  { name: "a Unicode state", parameters: authorizationOf({ state: "стан\u{1F511}" }) },
  { name: "two states", parameters: authorizationOf({ state: ["one", "other"] }) },
  { name: "two nonces", parameters: authorizationOf({ nonce: ["one", "other"] }) },
  { name: "prompt=none without a session", parameters: authorizationOf({ prompt: "none" }) },
  { name: "prompt=none with another value", parameters: authorizationOf({ prompt: "none login" }) },
  { name: "prompt=login", parameters: authorizationOf({ prompt: "login" }) },
  { name: "an unknown prompt", parameters: authorizationOf({ prompt: "unknown" }) },
  { name: "a negative max_age", parameters: authorizationOf({ max_age: "-1" }) },
  { name: "a max_age that is no number", parameters: authorizationOf({ max_age: "soon" }) },
  { name: "a request object", parameters: authorizationOf({ request: "eyJhbGciOiJub25lIn0.e30." }) },
  { name: "a request URI", parameters: authorizationOf({ request_uri: "https://app.example/request" }) },
  { name: "a registration", parameters: authorizationOf({ registration: "{}" }) },
  { name: "response_mode=query", parameters: authorizationOf({ response_mode: "query" }) },
  { name: "an unknown response mode", parameters: authorizationOf({ response_mode: "unknown" }) },
  { name: "an unknown parameter", parameters: authorizationOf({ unknown: "value" }) },
  { name: "a login hint", parameters: authorizationOf({ login_hint: "miguel" }) },
  { name: "a hint that is no ID token", parameters: authorizationOf({ id_token_hint: "x.y.z" }) },
  { name: "an unknown resource", parameters: authorizationOf({ resource: "https://unknown.example" }) },
  { name: "a resource that is no URI", parameters: authorizationOf({ resource: "orders" }) },
];

type Form = Record<string, string | readonly string[] | undefined>;
const pairs = (form: Form) =>
  new URLSearchParams(
    Object.entries(form).flatMap(([n, v]) => (v === undefined ? [] : [v].flat().map((e): [string, string] => [n, e]))),
  );
const post = (url: string, form: Form | string, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
    body: typeof form === "string" ? form : pairs(form).toString(),
  });
const headerOf = (server: Server, secret = server.confidential.secret, id = server.confidential.id) => ({
  authorization: basicAuthorization([id, secret]),
});
const clientCredentials = { grant_type: "client_credentials" };
const device = "urn:ietf:params:oauth:grant-type:device_code";
const cases: [name: string, send: (server: Server) => Promise<Response>][] = [
  ["GET at the token endpoint", (server) => fetch(server.tokenEndpoint)],
  ["a token request without parameters", (server) => post(server.tokenEndpoint, {})],
  ["no grant type", (server) => post(server.tokenEndpoint, {}, headerOf(server))],
  ["an empty grant type", (server) => post(server.tokenEndpoint, { grant_type: "" }, headerOf(server))],
  ["an unknown grant type", (server) => post(server.tokenEndpoint, { grant_type: "unknown" }, headerOf(server))],
  [
    "the password grant",
    (server) => post(server.tokenEndpoint, { grant_type: "password", username: "a", password: "b" }, headerOf(server)),
  ],
  [
    "the grant type twice",
    (server) =>
      post(server.tokenEndpoint, { grant_type: ["client_credentials", "client_credentials"] }, headerOf(server)),
  ],
  ["client credentials", (server) => post(server.tokenEndpoint, clientCredentials, headerOf(server))],
  [
    "client credentials in the body",
    (server) =>
      post(server.tokenEndpoint, {
        ...clientCredentials,
        client_id: server.confidential.id,
        client_secret: server.confidential.secret,
      }),
  ],
  [
    "client credentials of a public client",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, client_id: server.publicId }),
  ],
  ["no client", (server) => post(server.tokenEndpoint, clientCredentials)],
  [
    "a token request of an unknown client",
    (server) => post(server.tokenEndpoint, clientCredentials, headerOf(server, "x", "nobody")),
  ],
  ["a wrong secret", (server) => post(server.tokenEndpoint, clientCredentials, headerOf(server, "wrong"))],
  ["an empty secret", (server) => post(server.tokenEndpoint, clientCredentials, headerOf(server, ""))],
  [
    "a wrong secret in the body",
    (server) =>
      post(server.tokenEndpoint, { ...clientCredentials, client_id: server.confidential.id, client_secret: "wrong" }),
  ],
  [
    "a confidential client without a secret",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, client_id: server.confidential.id }),
  ],
  [
    "the secret twice",
    (server) =>
      post(server.tokenEndpoint, {
        ...clientCredentials,
        client_id: server.confidential.id,
        client_secret: [server.confidential.secret, server.confidential.secret],
      }),
  ],
  [
    "credentials in the header and in the body",
    (server) =>
      post(
        server.tokenEndpoint,
        { ...clientCredentials, client_id: server.confidential.id, client_secret: server.confidential.secret },
        headerOf(server),
      ),
  ],
  [
    "credentials in the header, and the same client_id",
    (server) =>
      post(server.tokenEndpoint, { ...clientCredentials, client_id: server.confidential.id }, headerOf(server)),
  ],
  [
    "credentials in the header, and another client_id",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, client_id: server.publicId }, headerOf(server)),
  ],
  [
    "malformed Basic credentials",
    (server) => post(server.tokenEndpoint, clientCredentials, { authorization: "Basic !!!" }),
  ],
  [
    "Basic credentials without a colon",
    (server) => post(server.tokenEndpoint, clientCredentials, { authorization: `Basic ${btoa("abc")}` }),
  ],
  [
    "Basic credentials with a malformed escape",
    (server) => post(server.tokenEndpoint, clientCredentials, { authorization: `Basic ${btoa("abc%zz:def")}` }),
  ],
  ["Bearer credentials", (server) => post(server.tokenEndpoint, clientCredentials, { authorization: "Bearer abc" })],
  [
    "a public client with a secret",
    (server) =>
      post(server.tokenEndpoint, {
        grant_type: "authorization_code",
        code: "x",
        redirect_uri: redirectUri,
        client_id: server.publicId,
        client_secret: "x",
      }),
  ],
  [
    "no code",
    (server) =>
      post(server.tokenEndpoint, { grant_type: "authorization_code", redirect_uri: redirectUri }, headerOf(server)),
  ],
  [
    "an unknown code",
    (server) =>
      post(
        server.tokenEndpoint,
        { grant_type: "authorization_code", redirect_uri: redirectUri, code: "x", code_verifier: "a".repeat(43) },
        headerOf(server),
      ),
  ],
  [
    "an unknown code without a verifier",
    (server) =>
      post(
        server.tokenEndpoint,
        { grant_type: "authorization_code", redirect_uri: redirectUri, code: "x" },
        headerOf(server),
      ),
  ],
  [
    "two codes",
    (server) =>
      post(
        server.tokenEndpoint,
        { grant_type: "authorization_code", redirect_uri: redirectUri, code: ["x", "y"] },
        headerOf(server),
      ),
  ],
  [
    "a verifier of 42 characters",
    (server) =>
      post(
        server.tokenEndpoint,
        { grant_type: "authorization_code", redirect_uri: redirectUri, code: "x", code_verifier: "a".repeat(42) },
        headerOf(server),
      ),
  ],
  ["no refresh token", (server) => post(server.tokenEndpoint, { grant_type: "refresh_token" }, headerOf(server))],
  [
    "an unknown refresh token",
    (server) => post(server.tokenEndpoint, { grant_type: "refresh_token", refresh_token: "x" }, headerOf(server)),
  ],
  ["no device code", (server) => post(server.tokenEndpoint, { grant_type: device }, headerOf(server))],
  [
    "an unknown device code",
    (server) => post(server.tokenEndpoint, { grant_type: device, device_code: "x" }, headerOf(server)),
  ],
  [
    "a device code of a client without this grant",
    (server) => post(server.tokenEndpoint, { grant_type: device, device_code: "x", client_id: server.publicId }),
  ],
  [
    "client credentials with an unknown scope",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, scope: "unknown" }, headerOf(server)),
  ],
  [
    "client credentials with a malformed scope",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, scope: 'a"b' }, headerOf(server)),
  ],
  [
    "client credentials for an unknown resource",
    (server) =>
      post(server.tokenEndpoint, { ...clientCredentials, resource: "https://unknown.example" }, headerOf(server)),
  ],
  [
    "client credentials with an unknown parameter",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, unknown: "x" }, headerOf(server)),
  ],
  [
    "a malformed assertion",
    (server) =>
      post(server.tokenEndpoint, {
        ...clientCredentials,
        client_assertion: "x",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      }),
  ],
  [
    "an assertion of another type",
    (server) =>
      post(server.tokenEndpoint, { ...clientCredentials, client_assertion: "x", client_assertion_type: "saml" }),
  ],
  [
    "a token request in JSON",
    (server) =>
      post(server.tokenEndpoint, JSON.stringify(clientCredentials), {
        ...headerOf(server),
        "content-type": "application/json",
      }),
  ],
  [
    "credentials in the query",
    (server) =>
      post(
        `${server.tokenEndpoint}?client_id=${server.confidential.id}&client_secret=${server.confidential.secret}`,
        clientCredentials,
      ),
  ],
  [
    "a token request of 200 kB",
    (server) => post(server.tokenEndpoint, { ...clientCredentials, unknown: "x".repeat(200000) }, headerOf(server)),
  ],
  ["introspection without credentials", (server) => post(server.introspectionEndpoint, { token: "x" })],
  [
    "introspection with a wrong secret",
    (server) => post(server.introspectionEndpoint, { token: "x" }, headerOf(server, "wrong")),
  ],
  [
    "introspection of an unknown token",
    (server) => post(server.introspectionEndpoint, { token: "x" }, headerOf(server)),
  ],
  ["introspection without a token", (server) => post(server.introspectionEndpoint, {}, headerOf(server))],
  [
    "introspection of two tokens",
    (server) => post(server.introspectionEndpoint, { token: ["x", "y"] }, headerOf(server)),
  ],
  [
    "introspection with an unknown hint",
    (server) => post(server.introspectionEndpoint, { token: "x", token_type_hint: "unknown" }, headerOf(server)),
  ],
  ["GET at the introspection endpoint", (server) => fetch(server.introspectionEndpoint)],
  [
    "introspection by a public client",
    (server) => post(server.introspectionEndpoint, { token: "x", client_id: server.publicId }),
  ],
  ["revocation without credentials", (server) => post(server.revocationEndpoint, { token: "x" })],
  [
    "revocation with a wrong secret",
    (server) => post(server.revocationEndpoint, { token: "x" }, headerOf(server, "wrong")),
  ],
  ["revocation of an unknown token", (server) => post(server.revocationEndpoint, { token: "x" }, headerOf(server))],
  [
    "revocation by a public client",
    (server) => post(server.revocationEndpoint, { token: "x", client_id: server.publicId }),
  ],
  ["revocation without a token", (server) => post(server.revocationEndpoint, {}, headerOf(server))],
  [
    "revocation with an unknown hint",
    (server) => post(server.revocationEndpoint, { token: "x", token_type_hint: "unknown" }, headerOf(server)),
  ],
  ["revocation of two tokens", (server) => post(server.revocationEndpoint, { token: ["x", "y"] }, headerOf(server))],
  ["userinfo without a token", (server) => fetch(server.userinfoEndpoint)],
  [
    "userinfo with an unknown token",
    (server) => fetch(server.userinfoEndpoint, { headers: { authorization: "Bearer garbage" } }),
  ],
  ["userinfo with a token in the query", (server) => fetch(`${server.userinfoEndpoint}?access_token=garbage`)],
  ["userinfo with Basic credentials", (server) => fetch(server.userinfoEndpoint, { headers: headerOf(server) })],
  ["a device without a client", (server) => post(server.deviceAuthorizationEndpoint, {})],
  ["a device of an unknown client", (server) => post(server.deviceAuthorizationEndpoint, { client_id: "nobody" })],
  ["a device", (server) => post(server.deviceAuthorizationEndpoint, { scope: "openid" }, headerOf(server))],
  [
    "a device with a wrong secret",
    (server) => post(server.deviceAuthorizationEndpoint, { scope: "openid" }, headerOf(server, "wrong")),
  ],
  [
    "a device of a client without this grant",
    (server) => post(server.deviceAuthorizationEndpoint, { client_id: server.publicId }),
  ],
  [
    "a device with an unknown scope",
    (server) => post(server.deviceAuthorizationEndpoint, { scope: "unknown" }, headerOf(server)),
  ],
  [
    "a device with two scopes",
    (server) => post(server.deviceAuthorizationEndpoint, { scope: ["openid", "profile"] }, headerOf(server)),
  ],
];
/** The outcomes that differ, and why. */
const differences: Record<string, { latchkey: string; oracle: string; why: string }> = {
  POST: {
    latchkey: "interaction",
    oracle: "page 404",
    why: "OpenID Connect Core, section 3.1.2.1, requires POST. The oracle has it as an option.",
  },
  "two redirect URIs": {
    latchkey: "page 400",
    oracle: "redirect invalid_request",
    why: "Which of both would be right is unknown.",
  },
  'the response type "token"': {
    latchkey: "redirect unsupported_response_type",
    oracle: "redirect null",
    why: "Every error is in the query, because no response type uses the fragment.",
  },
  'the response type "id_token"': {
    latchkey: "redirect unsupported_response_type",
    oracle: "redirect null",
    why: "Every error is in the query, because no response type uses the fragment.",
  },
  'the response type "code id_token"': {
    latchkey: "redirect unsupported_response_type",
    oracle: "redirect null",
    why: "Every error is in the query, because no response type uses the fragment.",
  },
  'the response type "code token"': {
    latchkey: "redirect unsupported_response_type",
    oracle: "redirect null",
    why: "Every error is in the query, because no response type uses the fragment.",
  },
  'the response type "none"': {
    latchkey: "redirect unsupported_response_type",
    oracle: "redirect invalid_request",
    why: "The service does not know this type.",
  },
  "an unknown scope": {
    latchkey: "redirect invalid_scope",
    oracle: "interaction",
    why: "A misspelled scope is reported (RFC 6749, section 4.1.2.1). Those of OpenID Connect that have no claims here are ignored.",
  },
  "a scope twice": {
    latchkey: "redirect invalid_scope",
    oracle: "interaction",
    why: "A scope is named once everywhere in this service.",
  },
  "an unknown response mode": {
    latchkey: "redirect invalid_request",
    oracle: "redirect unsupported_response_mode",
    why: "RFC 6749 has no such code.",
  },
  "GET at the token endpoint": {
    latchkey: "405 invalid_request",
    oracle: "404",
    why: "RFC 9110 requires a 405 with Allow.",
  },
  "client credentials of a public client": {
    latchkey: "400 unauthorized_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the client is authenticated, but may not use this grant.",
  },
  "a device code of a client without this grant": {
    latchkey: "400 unauthorized_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the client is authenticated, but may not use this grant.",
  },
  "a device of a client without this grant": {
    latchkey: "400 unauthorized_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the client is authenticated, but may not use this grant.",
  },
  "no client": {
    latchkey: "401 invalid_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the authentication of the client is missing or not valid.",
  },
  "an empty secret": {
    latchkey: "401 invalid_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the authentication of the client is missing or not valid.",
  },
  "Basic credentials with a malformed escape": {
    latchkey: "401 invalid_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the authentication of the client is missing or not valid.",
  },
  "Bearer credentials": {
    latchkey: "401 invalid_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the authentication of the client is missing or not valid.",
  },
  "a malformed assertion": {
    latchkey: "401 invalid_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the authentication of the client is missing or not valid.",
  },
  "introspection without credentials": {
    latchkey: "401 invalid_client",
    oracle: "400 invalid_request",
    why: "RFC 6749, section 5.2: the authentication of the client is missing or not valid.",
  },
  "an unknown code without a verifier": {
    latchkey: "400 invalid_request",
    oracle: "400 invalid_grant",
    why: "The verifier is missing or malformed, whatever the code is.",
  },
  "a verifier of 42 characters": {
    latchkey: "400 invalid_request",
    oracle: "400 invalid_grant",
    why: "The verifier is missing or malformed, whatever the code is.",
  },
  "client credentials with an unknown scope": {
    latchkey: "400 invalid_scope",
    oracle: "200",
    why: "As for an authorization, a misspelled scope is reported.",
  },
  "a device with an unknown scope": {
    latchkey: "400 invalid_scope",
    oracle: "200",
    why: "As for an authorization, a misspelled scope is reported.",
  },
  "a token request in JSON": {
    latchkey: "415 invalid_request",
    oracle: "400 invalid_request",
    why: "The status says what is wrong.",
  },
  "a token request of 200 kB": {
    latchkey: "413 invalid_request",
    oracle: "400 invalid_request",
    why: "The status says what is wrong.",
  },
  "introspection of an unknown token": {
    latchkey: "403 insufficient_scope",
    oracle: "200 active: false",
    why: "Only a client with the scope tokens:introspect may introspect.",
  },
  "introspection with an unknown hint": {
    latchkey: "403 insufficient_scope",
    oracle: "200 active: false",
    why: "Only a client with the scope tokens:introspect may introspect.",
  },
  "GET at the introspection endpoint": {
    latchkey: "405 invalid_request",
    oracle: "404",
    why: "RFC 9110 requires a 405 with Allow.",
  },
  "introspection by a public client": {
    latchkey: "401 invalid_client",
    oracle: "200 active: false",
    why: "RFC 7662, section 2.1, requires authorization, and anyone can send the id of a public client.",
  },
  "revocation without credentials": {
    latchkey: "200",
    oracle: "400 invalid_request",
    why: "The token is enough, so that whoever finds one can revoke it.",
  },
  "userinfo with a token in the query": {
    latchkey: "401 invalid_token",
    oracle: "400 invalid_request",
    why: "RFC 6750, section 3: the token is missing. It is never accepted in the query.",
  },
  "userinfo with Basic credentials": {
    latchkey: "401 invalid_token",
    oracle: "400 invalid_request",
    why: "RFC 6750, section 3: the token is missing.",
  },
};

const sent: [name: string, outcome: (server: Server) => Promise<string>][] = [
  ...authorizationCases.map(({ name, parameters, method }): [string, (server: Server) => Promise<string>] => [
    name,
    (server) => outcomeOfAuthorization(server, parameters(server), method),
  ]),
  ...cases.map(([name, send]): [string, (server: Server) => Promise<string>] => [
    name,
    (server) => outcomeOf(send(server)),
  ]),
];

test.each(sent)("%s", async (name, outcome) => {
  const latchkey = await outcome(servers.latchkey);
  const oracle = await outcome(servers.oracle);
  const difference = differences[name];
  expect({ latchkey, oracle }).toEqual(
    difference ? { latchkey: difference.latchkey, oracle: difference.oracle } : { latchkey: oracle, oracle },
  );
});

test("every difference is of a request above", () => {
  const names = sent.map(([name]) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toEqual(expect.arrayContaining(Object.keys(differences)));
});
