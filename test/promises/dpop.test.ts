/** Tokens that are bound to a key: a stolen one cannot be used without the key (RFC 9449). */
import { createHmac } from "node:crypto";
import { decodeJwt, exportJWK, importJWK } from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { beforeAll, describe, expect, test } from "vitest";
import { createVerifier } from "../../packages/verify/src/index.ts";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { newProofKey, type ProofChanges, type ProofKey, proofFor } from "../support/dpop.ts";
import { registerClient, type TestClient } from "../support/oauthClients.ts";
import { issueCode } from "../support/oauthCodes.ts";
import { withLongExponent } from "../support/rsaKeys.ts";
import { startTestService } from "../support/service.ts";

const issuer = "https://auth.example";
const settings = { PUBLIC_URL: issuer, CORS_ORIGINS: "https://app.example" };
const service = await startTestService(settings);
const other = await startTestService(settings, service.databaseUrl);
const basic = await service.administrator();
const miguel = await service.register("miguel");
const key = await newProofKey();
const otherKey = await newProofKey();
const orders = "https://orders.example";
const machine = await registerClient(service, basic, { scopes: ["users:read"] });
const app = await insertClient(service, { authentication: "none" });

const tokenUrl = `${issuer}/oauth/token`;
const tokenRequest = { method: "POST", url: tokenUrl };
const usersRequest = { method: "GET", url: `${issuer}/api/users` };

type Form = Record<string, string>;
const ask = (form: Form, proof?: string | string[], on = service) =>
  on.send("POST", "/oauth/token", { form, ...(proof !== undefined && { headers: { dpop: proof } }) });
const forMachine = ({ client_id, client_secret }: TestClient = machine): Form => ({
  grant_type: "client_credentials",
  client_id,
  client_secret,
});
const boundToken = async (by: ProofKey = key): Promise<string> => {
  const answer = await ask(forMachine(), await proofFor(by, tokenRequest));
  expect(answer).toMatchObject({ status: 200, json: { token_type: "DPoP" } });
  return answer.json.access_token;
};
const present = (token: string, proof: string | string[] | undefined, on = service) =>
  on.send("GET", "/api/users?limit=1", {
    headers: { authorization: `DPoP ${token}`, ...(proof !== undefined && { dpop: proof }) },
  });
const codeFor = async (clientId: string, dpopJkt?: string): Promise<Form> => ({
  client_id: clientId,
  ...(await issueCode(service, {
    clientId,
    userId: miguel.id,
    audience: issuer,
    ...(dpopJkt !== undefined && { dpopJkt }),
  })),
});

const invalidProof = { status: 400, problem: "invalid-dpop-proof", json: { error: "invalid_dpop_proof" } };
const refusedProof = { status: 401, problem: "dpop-proof-refused" };
const challenge = 'DPoP realm="latchkey", error="invalid_dpop_proof", algs="ES256 Ed25519 EdDSA RS256 PS256"';

beforeAll(async () => {
  const scopes = [{ name: "orders:read", description: "See orders." }];
  const json = { audience: orders, name: "Orders", scopes };
  expect((await service.send("POST", "/api/apis", { basic, json })).status).toBe(201);
});

const now = () => Math.floor(Date.now() / 1000);
const privateJwk = await exportJWK(key.privateKey);
const rsaKey = await newProofKey("RS256");

/** Every proof that is wrong wherever it is sent. */
const hostile: [string, () => ProofChanges][] = [
  ["of another type", () => ({ header: { typ: "JWT" } })],
  ["without a type", () => ({ header: { typ: undefined } })],
  ["without a key", () => ({ header: { jwk: undefined } })],
  ["with the key by reference", () => ({ header: { jwk: undefined, kid: key.thumbprint } })],
  ["with the private key", () => ({ header: { jwk: privateJwk } })],
  ["with a part of a private key", () => ({ header: { jwk: { ...key.jwk, p: "AQAB" } } })],
  ["with another key than the one that signed it", () => ({ header: { jwk: otherKey.jwk } })],
  ["with a key of another algorithm", () => ({ header: { jwk: rsaKey.jwk } })],
  ["with an unknown critical header", () => ({ header: { crit: ["x"], x: 1 } })],
  ["for another method", () => ({ claims: { htm: "PUT" } })],
  ["for the method in lower case", () => ({ claims: { htm: "post" } })],
  ["without a method", () => ({ claims: { htm: undefined } })],
  ["for another path", () => ({ claims: { htu: `${issuer}/oauth/revoke` } })],
  ["for a path below", () => ({ claims: { htu: `${tokenUrl}/x` } })],
  ["for another host", () => ({ claims: { htu: "https://evil.example/oauth/token" } })],
  ["for a host that begins alike", () => ({ claims: { htu: "https://auth.example.evil.example/oauth/token" } })],
  ["for another scheme", () => ({ claims: { htu: "http://auth.example/oauth/token" } })],
  ["for a URL with a user", () => ({ claims: { htu: "https://x@auth.example/oauth/token" } })],
  ["for no absolute URL", () => ({ claims: { htu: "/oauth/token" } })],
  ["without a URL", () => ({ claims: { htu: undefined } })],
  ["that is too old", () => ({ claims: { iat: now() - 70 } })],
  ["from the future", () => ({ claims: { iat: now() + 70 } })],
  ["without a time", () => ({ claims: { iat: undefined } })],
  ["that has expired", () => ({ claims: { exp: now() - 1 } })],
  ["without an id", () => ({ claims: { jti: undefined } })],
  ["with an empty id", () => ({ claims: { jti: "" } })],
  ["with a very long id", () => ({ claims: { jti: "x".repeat(257) } })],
];

describe("the token endpoint", () => {
  test.each(hostile)("refuses a proof %s", async (_case, changes) => {
    expect(await ask(forMachine(), await proofFor(key, tokenRequest, changes()))).toMatchObject(invalidProof);
  });

  test("refuses a key whose signatures take long to verify", async () => {
    const jwk = withLongExponent().export({ format: "jwk" });
    const privateKey = (await importJWK(jwk, "RS256")) as ProofKey["privateKey"];
    const long: ProofKey = {
      privateKey,
      jwk: { kty: "RSA", n: jwk.n ?? "", e: jwk.e ?? "" },
      thumbprint: "",
      alg: "RS256",
    };
    expect(await ask(forMachine(), await proofFor(long, tokenRequest))).toMatchObject(invalidProof);
  });

  test("refuses what is no signed proof", async () => {
    const proof = await proofFor(key, tokenRequest);
    const [header = "", payload = "", signature = ""] = proof.split(".");
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const symmetric = encode({ typ: "dpop+jwt", alg: "HS256", jwk: { kty: "oct", k: "c2VjcmV0" } });
    const hmac = createHmac("sha256", "secret").update(`${symmetric}.${payload}`).digest("base64url");
    const forms: [string, string | string[]][] = [
      ["nothing", ""],
      ["a word", "x"],
      ["an unsigned proof", `${encode({ typ: "dpop+jwt", alg: "none", jwk: key.jwk })}.${payload}.`],
      ["a symmetric key", `${symmetric}.${payload}.${hmac}`],
      ["a changed signature", `${header}.${payload}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`],
      ["another encoding", `${header}.${payload}.${signature}=`],
      ["two proofs", [proof, await proofFor(key, tokenRequest)]],
      ["the same proof twice", [proof, proof]],
      ["a proof of 4 kB", await proofFor(key, tokenRequest, { claims: { x: "x".repeat(3000) } })],
    ];
    for (const [name, text] of forms) {
      const answer = await ask(forMachine(), text);
      expect(answer.status, name).toBe(400);
      expect(answer.json.error, name).toMatch(/^invalid_(dpop_proof|request)$/);
    }
    // None of them was used up.
    expect((await ask(forMachine(), proof)).status).toBe(200);
  });

  test.each(["ES256", "Ed25519", "EdDSA", "RS256", "PS256"])("binds a token to a key for %s", async (alg) => {
    const own = await newProofKey(alg);
    const claims = decodeJwt(await boundToken(own));
    expect(claims["cnf"]).toEqual({ jkt: own.thumbprint });
  });

  test.each([
    ["a query and a fragment", `${tokenUrl}?a=b#c`],
    ["the default port", "https://auth.example:443/oauth/token"],
    ["capitals", "HTTPS://AUTH.EXAMPLE/oauth/token"],
    ["escapes that mean the same", "https://auth.example/o%61uth/token"],
  ])("accepts a URL with %s", async (_case, htu) => {
    expect((await ask(forMachine(), await proofFor(key, tokenRequest, { claims: { htu } }))).status).toBe(200);
  });

  test("accepts clocks that differ by less than a minute", async () => {
    for (const seconds of [-50, 50]) {
      const proof = await proofFor(key, tokenRequest, { claims: { iat: now() + seconds } });
      expect((await ask(forMachine(), proof)).status).toBe(200);
    }
  });

  test("issues a bearer token without a proof", async () => {
    const { json } = await ask(forMachine());
    expect(json.token_type).toBe("Bearer");
    expect(decodeJwt(json.access_token)).not.toHaveProperty("cnf");
  });

  test("accepts a proof once, of 20 uses at once on two instances", async () => {
    const proof = await proofFor(key, tokenRequest);
    const uses = Array.from({ length: 20 }, (_, index) => ask(forMachine(), proof, index % 2 ? service : other));
    const answers = await Promise.all(uses);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ problem }) => problem === "invalid-dpop-proof")).toHaveLength(19);
    const [row] = await service.sql("SELECT max(expires_at) > now() + interval '1 minute' AS kept FROM used_proofs");
    expect(row).toEqual({ kept: true });
  });

  test("lists the algorithms in the metadata", async () => {
    const { json } = await service.send("GET", "/.well-known/oauth-authorization-server");
    expect(json.dpop_signing_alg_values_supported).toEqual(["ES256", "Ed25519", "EdDSA", "RS256", "PS256"]);
  });
});

describe("a code", () => {
  test("that was asked for with dpop_jkt is redeemed with a proof of this key, and not used up by another", async () => {
    const code = await codeFor(app.id, key.thumbprint);
    expect((await ask(code)).json.error).toBe("invalid_grant");
    expect((await ask(code, await proofFor(otherKey, tokenRequest))).json.error).toBe("invalid_grant");
    const { status, json } = await ask(code, await proofFor(key, tokenRequest));
    expect(status).toBe(200);
    expect(json.token_type).toBe("DPoP");
    expect(decodeJwt(json.access_token)).toMatchObject({ sub: miguel.id, cnf: { jkt: key.thumbprint } });
  });

  test("without dpop_jkt gives a bound token for any key, and is not used up by an invalid proof", async () => {
    const code = await codeFor(app.id);
    expect(await ask(code, await proofFor(key, usersRequest))).toMatchObject(invalidProof);
    expect((await ask(code, await proofFor(otherKey, tokenRequest))).json.token_type).toBe("DPoP");
  });

  test("of a device gives a bound token", async () => {
    const form = { client_id: app.id, scope: "account:read" };
    const { device_code } = (await service.send("POST", "/oauth/device-authorization", { form })).json;
    await service.sql(
      `UPDATE device_codes SET decision = 'allowed', authenticated_at = now(), user_id = users.id,
         user_epoch = token_epoch, grant_id = (SELECT id FROM grants WHERE user_id = users.id LIMIT 1)
       FROM users WHERE users.id = $1`,
      [miguel.id],
    );
    const poll = { grant_type: deviceCodeGrant, device_code, client_id: app.id };
    const { json } = await ask(poll, await proofFor(key, tokenRequest));
    expect(decodeJwt(json.access_token)).toMatchObject({ sub: miguel.id, cnf: { jkt: key.thumbprint } });
  });
});

describe("a refresh token", () => {
  const refreshForm = (clientId: string, refresh_token: string): Form => ({
    grant_type: "refresh_token",
    client_id: clientId,
    refresh_token,
  });

  test("of a public client is bound to the key, and not used up without it", async () => {
    const first = (await ask(await codeFor(app.id), await proofFor(key, tokenRequest))).json;
    const form = refreshForm(app.id, first.refresh_token);
    for (const on of [service, other]) {
      expect((await ask(form, undefined, on)).json.error).toBe("invalid_grant");
      expect((await ask(form, await proofFor(otherKey, tokenRequest), on)).json.error).toBe("invalid_grant");
      expect(await ask(form, await proofFor(key, usersRequest), on)).toMatchObject(invalidProof);
    }
    for (const on of [service, other]) {
      // Within the grace period, a client may repeat its request.
      const { json } = await ask(form, await proofFor(key, tokenRequest), on);
      expect(json.token_type).toBe("DPoP");
      expect(decodeJwt(json.access_token)["cnf"]).toEqual({ jkt: key.thumbprint });
      const next = refreshForm(app.id, json.refresh_token);
      expect((await ask(next, undefined, on)).json.error).toBe("invalid_grant");
    }
  });

  test("of a public client that began without a key stays unbound, and its access tokens are bound on demand", async () => {
    const first = (await ask(await codeFor(app.id))).json;
    expect(first.token_type).toBe("Bearer");
    const bound = await ask(refreshForm(app.id, first.refresh_token), await proofFor(key, tokenRequest));
    expect(bound.json.token_type).toBe("DPoP");
    expect((await ask(refreshForm(app.id, bound.json.refresh_token))).json.token_type).toBe("Bearer");
  });

  test("of a confidential client is bound to the client, which may change its key", async () => {
    const { id, secret: client_secret } = await insertClient(service);
    const code = { ...(await codeFor(id)), client_secret };
    const first = (await ask(code, await proofFor(key, tokenRequest))).json;
    const form = { ...refreshForm(id, first.refresh_token), client_secret };
    const { json } = await ask(form, await proofFor(otherKey, tokenRequest));
    expect(decodeJwt(json.access_token)["cnf"]).toEqual({ jkt: otherKey.thumbprint });
  });
});

describe("a bound token", () => {
  test("is accepted with a proof, also of a user", async () => {
    const token = await boundToken();
    expect((await present(token, await proofFor(key, { ...usersRequest, token }))).status).toBe(200);
    const { access_token } = (await ask(await codeFor(app.id), await proofFor(key, tokenRequest))).json;
    const request = { method: "GET", url: `${issuer}/api/sessions`, token: access_token };
    const headers = { authorization: `dpop ${access_token}`, dpop: await proofFor(key, request) };
    expect((await service.send("GET", "/api/sessions", { headers })).status).toBe(200);
    const head = { method: "HEAD", url: `${issuer}/api/sessions`, token: access_token };
    const forHead = { authorization: `DPoP ${access_token}`, dpop: await proofFor(key, head) };
    expect((await service.send("HEAD", "/api/sessions", { headers: forHead })).status).toBe(200);
  });

  test("is refused as Bearer, as a username, and by an API that asks the service, with a proof or without", async () => {
    const token = await boundToken();
    for (const name of ["without", "with"]) {
      const headers = name === "with" ? { headers: { dpop: await proofFor(key, { ...usersRequest, token }) } } : {};
      const asBearer = await service.send("GET", "/api/users?limit=1", { bearer: token, ...headers });
      expect(asBearer, name).toMatchObject({ status: 401, problem: "invalid-token" });
      expect(asBearer.header("www-authenticate")).toContain('error="invalid_token"');
      const asUsername = await service.send("GET", "/api/users?limit=1", { basic: [token, "x"], ...headers });
      expect(asUsername, name).toMatchObject({ status: 401, problem: "invalid-token" });
    }
    const { access_token } = (await ask(await codeFor(app.id), await proofFor(key, tokenRequest))).json;
    expect((await service.send("GET", "/api/forward-auth", { bearer: access_token })).status).toBe(401);
    const url = `${issuer}/api/forward-auth`;
    const dpop = await proofFor(key, { method: "GET", url, token: access_token });
    const headers = { authorization: `DPoP ${access_token}`, dpop };
    expect((await service.send("GET", "/api/forward-auth", { headers })).status).toBe(401);
  });

  test.each(hostile)("is refused with a proof %s", async (_case, changes) => {
    const token = await boundToken();
    const answer = await present(token, await proofFor(key, { ...usersRequest, token }, changes()));
    expect(answer).toMatchObject(refusedProof);
    expect(answer.header("www-authenticate")).toBe(challenge);
  });

  test("is refused without a proof, with one of another key, for another token, or without a token", async () => {
    const token = await boundToken();
    const another = await boundToken();
    const proofs: [string, string | string[] | undefined][] = [
      ["none", undefined],
      ["two", [await proofFor(key, { ...usersRequest, token }), await proofFor(key, { ...usersRequest, token })]],
      ["of another key", await proofFor(otherKey, { ...usersRequest, token })],
      ["for another token", await proofFor(key, { ...usersRequest, token: another })],
      ["for no token", await proofFor(key, usersRequest)],
      ["for the token endpoint", await proofFor(key, { ...tokenRequest, token })],
    ];
    for (const [name, proof] of proofs) expect(await present(token, proof), name).toMatchObject(refusedProof);
  });

  test("is refused by the endpoints of OAuth with an error of OAuth", async () => {
    const token = await boundToken();
    for (const [method, path] of [
      ["GET", "/oauth/userinfo"],
      ["POST", "/oauth/userinfo"],
      ["POST", "/oauth/introspect"],
    ] as const) {
      const headers = {
        authorization: `DPoP ${token}`,
        dpop: await proofFor(otherKey, { method, url: issuer + path, token }),
      };
      const answer = await service.send(method, path, {
        headers,
        ...(path.endsWith("introspect") && { form: { token } }),
      });
      expect(answer, path).toMatchObject({ ...refusedProof, json: { error: "invalid_dpop_proof" } });
      expect(answer.header("www-authenticate"), path).toBe(challenge);
    }
  });

  test("is accepted once with a proof, of 20 uses at once on two instances", async () => {
    const token = await boundToken();
    const proof = await proofFor(key, { ...usersRequest, token });
    const uses = Array.from({ length: 20 }, (_, index) => present(token, proof, index % 2 ? service : other));
    const answers = await Promise.all(uses);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ problem }) => problem === "dpop-proof-refused")).toHaveLength(19);
  });

  test("is refused after its client has changed, whatever the proof", async () => {
    const client = await registerClient(service, basic, { scopes: ["users:read"] });
    const token = (await ask(forMachine(client), await proofFor(key, tokenRequest))).json.access_token;
    const changed = { basic, json: { name: "Renamed", scopes: [] } };
    expect((await service.send("PATCH", `/api/clients/${client.client_id}`, changed)).status).toBe(200);
    const answer = await present(token, await proofFor(key, { ...usersRequest, token }));
    expect(answer).toMatchObject({ status: 401, problem: "token-revoked" });
  });

  test("that is not bound is refused with the scheme DPoP", async () => {
    const token = (await ask(forMachine())).json.access_token;
    const answer = await present(token, await proofFor(key, { ...usersRequest, token }));
    expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
  });

  test("is described as bound by introspection", async () => {
    const token = await boundToken();
    const { json } = await service.send("POST", "/oauth/introspect", { basic, form: { token } });
    expect(json).toMatchObject({ active: true, token_type: "DPoP", cnf: { jkt: key.thumbprint } });
  });

  test("is refused by the verifier package, and by the service for a proxy", async () => {
    const client = await registerClient(service, basic, { scopes: ["orders:read"], audiences: [orders] });
    const verifier = createVerifier({ issuer, url: service.url, audience: orders });
    const verify = async (authorization: string) => verifier.verify(authorization);
    const forProxy = (bearer: string) =>
      service.send("GET", `/api/forward-auth?audience=${encodeURIComponent(orders)}`, { bearer });
    const bearer = (await ask(forMachine(client))).json.access_token;
    expect((await forProxy(bearer)).status).toBe(204);
    await expect(verify(`Bearer ${bearer}`)).resolves.toMatchObject({ clientId: client.client_id });
    const bound = (await ask(forMachine(client), await proofFor(key, tokenRequest))).json.access_token;
    const detail = "This operation accepts no DPoP proofs, so a token that is bound to a key cannot be used here.";
    expect(await forProxy(bound)).toMatchObject({ status: 401, problem: "invalid-token", json: { detail } });
    const own = await service.send("GET", "/api/forward-auth", { bearer: await boundToken() });
    expect(own).toMatchObject({ status: 401, problem: "invalid-token", json: { detail } });
    const withProof = await service.send("GET", "/api/forward-auth", { headers: { authorization: `DPoP ${bound}` } });
    expect(withProof).toMatchObject({ status: 401, problem: "authentication-required", json: { detail } });
    await expect(verify(`Bearer ${bound}`)).rejects.toMatchObject({
      problem: { type: `${issuer}/problems/invalid-token` },
    });
    await expect(verify(`DPoP ${bound}`)).rejects.toMatchObject({
      problem: { type: `${issuer}/problems/authentication-required` },
    });
    await verifier.close();
  });
});

describe("standard clients", () => {
  /** Requests to the public URL arrive here, as through a proxy. */
  const forwarded = (url: string, init: object) => fetch(url.replace(issuer, service.url), init);

  test("oauth4webapi gets a bound token, and uses it", async () => {
    const options = { [oauth.customFetch]: forwarded };
    const server = await oauth.processDiscoveryResponse(
      new URL(issuer),
      await oauth.discoveryRequest(new URL(issuer), { algorithm: "oauth2", ...options }),
    );
    const client = { client_id: machine.client_id };
    for (const alg of ["ES256", "Ed25519"]) {
      const DPoP = oauth.DPoP({ [oauth.clockSkew]: 0 }, await oauth.generateKeyPair(alg));
      const authentication = oauth.ClientSecretPost(machine.client_secret);
      const parameters = new URLSearchParams();
      const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, {
        DPoP,
        ...options,
      });
      const { access_token, token_type } = await oauth.processClientCredentialsResponse(server, client, response);
      expect(token_type).toBe("dpop");
      const url = new URL("/api/users", issuer);
      const request = () =>
        oauth.protectedResourceRequest(access_token, "GET", url, new Headers(), undefined, { DPoP, ...options });
      for (let count = 0; count < 2; count += 1) expect((await request()).status).toBe(200);
    }
  });

  test("openid-client gets a bound token, and uses it", async () => {
    const config = await openid.discovery(new URL(issuer), machine.client_id, machine.client_secret, undefined, {
      [openid.customFetch]: forwarded,
    });
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair("ES256"));
    const tokens = await openid.clientCredentialsGrant(config, {}, { DPoP });
    expect(tokens.token_type).toBe("dpop");
    const url = new URL("/api/users", issuer);
    const answer = await openid.fetchProtectedResource(config, tokens.access_token, url, "GET", null, undefined, {
      DPoP,
    });
    expect(answer.status).toBe(200);
  });
});
