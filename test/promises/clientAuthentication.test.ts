/** A client of OAuth is who it says: by its secret, by its key, or, if it is public, by its id alone. */
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import { expect, test } from "vitest";
import { createClientAdministration } from "../../src/clients/administration/administration.ts";
import { clientAdministrationStore } from "../../src/clients/administration/store.ts";
import { createAssertions } from "../../src/clients/assertions.ts";
import { type ClientParameters, createClientAuthentication } from "../../src/clients/authentication.ts";
import { createClients } from "../../src/clients/clients.ts";
import { createClientKeySets } from "../../src/clients/keySets.ts";
import { newClientSecret } from "../../src/clients/secrets.ts";
import { clientStore } from "../../src/clients/store.ts";
import type { ClientDefinition } from "../../src/clients/storeTypes.ts";
import { openDatabase } from "../../src/database/database.ts";
import { createFetchJson } from "../../src/http/fetchJson.ts";
import type { LastUse } from "../../src/lib/lastUses.ts";
import { usedProofStore } from "../../src/oauth/store.ts";
import { createUsedProofs } from "../../src/oauth/usedProofs.ts";
import { Problem } from "../../src/problems/problems.ts";
import { createRequestContext, requestContext, runInRequest } from "../../src/requestContext.ts";
import { throttleKeys } from "../../src/throttling/keys.ts";
import { attemptStore } from "../../src/throttling/store.ts";
import { createThrottle } from "../../src/throttling/throttling.ts";
import { afterTest } from "../support/afterTest.ts";
import { blankDefinition } from "../support/blankClient.ts";
import { createDatabase, secretKey } from "../support/service.ts";

let statements: string[] = [];
const database = openDatabase(await createDatabase(), 4, {
  observe: (statement) => {
    statements.push(/\/\* ([\w-]+) \*\//.exec(statement)?.[1] ?? statement);
    return () => {};
  },
});
afterTest(() => database.close());
const issuer = "https://latchkey.example";
const parts = { enforce: () => {}, audit: () => {} };
const clock = () => new Date(1_800_000_000_000);
const now = clock().getTime() / 1000;
const administration = createClientAdministration({
  store: clientAdministrationStore(database),
  access: { requireScopes: async () => {} },
  findApiScopes: async () => [],
  ...parts,
});
const throttle = createThrottle({
  limits: {
    "account-address": 9,
    account: 9,
    address: 9,
    registrations: 9,
    consecutive: 9,
    clients: 3,
    "client-registrations": 9,
  },
  store: attemptStore(database),
  keys: throttleKeys([secretKey]),
  schedule: (_turn, task) => task(Number.POSITIVE_INFINITY),
  clock,
});
const uses: LastUse[] = [];
const usedProofs = createUsedProofs(usedProofStore(database));
const keySets = createClientKeySets(createFetchJson());
const newInstance = () =>
  createClientAuthentication({
    clients: createClients({
      store: clientStore(database),
      revocations: { onEntry: () => {}, requireCurrent: () => {} },
    }),
    verifyAssertion: createAssertions({ audiences: [issuer, `${issuer}/oauth/token`], keySets, usedProofs, clock }),
    throttle,
    lastUses: { record: (digest, at, networkOfUse) => void uses.push({ digest, network: networkOfUse(), at }) },
    clock,
    audit: () => {},
  });
const authenticateClient = newInstance();

let addresses = 0;
type Sent = {
  authorization?: string;
  parameters?: ClientParameters;
  address?: string;
  authenticate?: typeof authenticateClient;
};
/** Authenticates from an address of its own. @returns the id of the client, or the problem, and the schemes of the challenge */
const send = ({ authorization, parameters = {}, address, authenticate = authenticateClient }: Sent) =>
  runInRequest(createRequestContext(address ?? `198.51.100.${++addresses}`, undefined), async () => {
    try {
      return { id: (await authenticate({ authorization, parameters })).id };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return { problem: error.slug, schemes: requestContext().acceptedSchemes };
    }
  });
const basicOf = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;

async function register(definition: Partial<ClientDefinition> = {}) {
  const { client, secret = "" } = await administration.create("operator", { ...blankDefinition, ...definition });
  return { id: client.id, secret };
}
const machine = await register();
const other = await register();
const app = await register({
  authentication: "none",
  grantTypes: ["authorization_code"],
  redirectUris: ["com.example.app:/callback"],
});
const keys = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: generateKeyPairSync("ed25519"),
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const jwkOf = (key: KeyObject, kid: string) => ({ ...key.export({ format: "jwk" }), kid });
const signer = await register({
  authentication: "private_key_jwt",
  jwks: { keys: Object.entries(keys).map(([kid, { publicKey }]) => jwkOf(publicKey, kid)) },
});

test("a client authenticates with its secret, in the header or in the body, and the use is recorded", async () => {
  const { id, secret } = machine;
  expect(await send({ authorization: basicOf(id, secret), address: "192.0.2.1" })).toEqual({ id });
  expect(uses.at(-1)).toMatchObject({ network: "192.0.2.1", at: new Date(1_800_000_000_000) });
  expect(await send({ authorization: basicOf(id, secret), parameters: { client_id: id } })).toEqual({ id });
  expect(await send({ parameters: { client_id: id, client_secret: secret } })).toEqual({ id });
});

test("both parts of the header may be encoded as in a form", async () => {
  const encoded = (text: string) => text.replace(/[a-f]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
  const authorization = basicOf(encoded(machine.id), encoded(machine.secret));
  expect(await send({ authorization })).toEqual({ id: machine.id });
});

test("a public client sends its id alone", async () => {
  expect(await send({ parameters: { client_id: app.id } })).toEqual({ id: app.id });
});

test("a client with two secrets is accepted with both, and not with a deleted one", async () => {
  const { id, secret } = await register();
  const { text, id: added } = await administration.addSecret("operator", id);
  for (const one of [secret, text]) expect(await send({ authorization: basicOf(id, one) })).toEqual({ id });
  await administration.removeSecret("operator", id, added);
  const restarted = newInstance();
  const again = (one: string) => send({ authorization: basicOf(id, one), authenticate: restarted });
  expect([await again(secret), await again(text)]).toMatchObject([{ id }, { problem: "invalid-client" }]);
});

const refused: [string, Sent][] = [
  ["nothing", {}],
  ["a wrong secret", { authorization: basicOf(machine.id, newClientSecret().text) }],
  ["a secret without a valid checksum", { authorization: basicOf(machine.id, `${machine.secret.slice(0, -1)}!`) }],
  ["the secret of another client", { authorization: basicOf(machine.id, other.secret) }],
  ["an unknown client", { authorization: basicOf(`lkc_${"0".repeat(32)}`, machine.secret) }],
  ["an id that Postgres cannot store", { authorization: basicOf("lkc_\u0000", machine.secret) }],
  ["a confidential client without its secret", { parameters: { client_id: machine.id } }],
  ["a client with keys without an assertion", { parameters: { client_id: signer.id } }],
  ["a public client with a secret", { parameters: { client_id: app.id, client_secret: machine.secret } }],
  ["a public client in the header", { authorization: basicOf(app.id, "") }],
  ["a token", { authorization: "Bearer eyJ" }],
];
test.each(refused)("%s is refused, with a challenge of the scheme that was used", async (_label, sent) => {
  expect(await send(sent)).toEqual({ problem: "invalid-client", schemes: ["basicAuth"] });
});

test.each<[string, () => Sent]>([
  [
    "the header and the body",
    () => ({ authorization: basicOf(machine.id, machine.secret), parameters: { client_secret: machine.secret } }),
  ],
  [
    "a secret and an assertion",
    () => ({ parameters: { client_id: machine.id, client_secret: machine.secret, client_assertion: "x" } }),
  ],
  [
    "the header and the id of another client",
    () => ({ authorization: basicOf(machine.id, machine.secret), parameters: { client_id: app.id } }),
  ],
  ["an assertion of an unknown type", () => ({ parameters: { client_assertion: "x", client_assertion_type: "saml" } })],
])("%s: the request is not valid", async (_label, sent) => {
  expect(await send(sent())).toMatchObject({ problem: "invalid-request" });
});

test("a client in memory is authenticated without a query or a promise", async () => {
  const authorization = basicOf(machine.id, machine.secret);
  await send({ authorization });
  statements = [];
  const context = createRequestContext("198.51.100.250", undefined);
  const client = runInRequest(context, () => authenticateClient({ authorization, parameters: {} }));
  expect(client).toMatchObject({ id: machine.id });
  expect(statements).toEqual([]);
});

test("wrong credentials are limited by network, and the right ones are accepted even then", async () => {
  const from = (address: string, secret: string) => send({ authorization: basicOf(machine.id, secret), address });
  for (let attempt = 0; attempt < 3; attempt += 1)
    expect(await from("203.0.113.7", "wrong")).toMatchObject({ problem: "invalid-client" });
  statements = [];
  await from("203.0.113.7", "wrong");
  expect(await from("203.0.113.7", "wrong")).toMatchObject({ problem: "too-many-requests" });
  expect(statements).toEqual(["reserve-registration"]);
  expect(await from("203.0.113.7", machine.secret)).toEqual({ id: machine.id });
  expect(await from("203.0.113.8", "wrong")).toMatchObject({ problem: "invalid-client" });
});

type Claims = Record<string, unknown>;
const claimsOf = (claims: Claims = {}): Claims => ({
  iss: signer.id,
  sub: signer.id,
  aud: issuer,
  iat: now,
  exp: now + 60,
  jti: randomUUID(),
  ...claims,
});
const sign = (claims: Claims, { alg = "ES256", key = keys.ES256.privateKey, kid = "ES256" } = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key);
const type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const assert = (assertion: string, parameters: ClientParameters = {}) =>
  send({ parameters: { client_assertion: assertion, client_assertion_type: type, ...parameters } });

test.each([
  ["ES256", "ES256"],
  ["EdDSA", "EdDSA"],
  ["RS256", "RS256"],
  ["PS256", "RS256"],
] as const)("an assertion signed with %s is accepted", async (alg, kid) => {
  const assertion = await sign(claimsOf(), { alg, kid, key: keys[kid].privateKey });
  expect(await assert(assertion, { client_id: signer.id })).toEqual({ id: signer.id });
});

test("an assertion for the token endpoint, or with a list of one audience, is accepted", async () => {
  for (const aud of [`${issuer}/oauth/token`, [issuer]])
    expect(await assert(await sign(claimsOf({ aud })))).toEqual({ id: signer.id });
});

test("of 20 uses of an assertion at once, one is accepted, and none later", async () => {
  const assertion = await sign(claimsOf());
  const answers = await Promise.all(Array.from({ length: 20 }, () => assert(assertion)));
  expect(answers.filter((answer) => "id" in answer)).toHaveLength(1);
  expect(await assert(assertion)).toMatchObject({ problem: "invalid-client" });
});

const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
const secretOfPublicKey = createPublicKey(keys.RS256.privateKey).export({ type: "spki", format: "pem" });
const unsigned = (header: object) => `${encode(header)}.${encode(claimsOf())}`;
const hmac = (input: string) => `${input}.${createHmac("sha256", secretOfPublicKey).update(input).digest("base64url")}`;
test.each<[string, () => Promise<string> | string]>([
  ["for another audience", () => sign(claimsOf({ aud: "https://other.example" }))],
  ["for several audiences", () => sign(claimsOf({ aud: [issuer, "https://other.example"] }))],
  ["without an audience", () => sign(claimsOf({ aud: undefined }))],
  ["of another issuer", () => sign(claimsOf({ iss: machine.id }))],
  ["about another client", () => sign(claimsOf({ sub: machine.id }))],
  ["without a jti", () => sign(claimsOf({ jti: undefined }))],
  ["without an expiry", () => sign(claimsOf({ exp: undefined }))],
  ["that has expired", () => sign(claimsOf({ exp: now - 31 }))],
  ["that is valid for too long", () => sign(claimsOf({ exp: now + 331 }))],
  ["that is not valid yet", () => sign(claimsOf({ nbf: now + 31 }))],
  ["with an expiry that is no number", () => sign(claimsOf({ exp: `${now + 60}` }))],
  ["signed by a stranger", () => sign(claimsOf(), { key: stranger })],
  ["with the id of another key", () => sign(claimsOf(), { kid: "EdDSA" })],
  ["with an unknown key id", () => sign(claimsOf(), { kid: "unknown" })],
  ["without a signature", () => `${unsigned({ alg: "none" })}.`],
  ["signed with the public key as a secret", () => hmac(unsigned({ alg: "HS256", kid: "RS256" }))],
  ["in base64 with padding", async () => `${await sign(claimsOf())}=`],
  ["of two parts", async () => (await sign(claimsOf())).split(".").slice(0, 2).join(".")],
  ["that is no JWT", () => "x"],
])("an assertion %s is refused", async (_label, assertion) => {
  expect(await assert(await assertion())).toEqual({ problem: "invalid-client", schemes: ["basicAuth"] });
});

test("a client with a secret is not authenticated by an assertion", async () => {
  expect(await assert(await sign(claimsOf({ iss: machine.id, sub: machine.id })))).toMatchObject({
    problem: "invalid-client",
  });
});
