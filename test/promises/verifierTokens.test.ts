/** The verifier accepts only unaltered, unexpired tokens that Latchkey signed for the API. Nobody else's code is asked. */
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { importJwk, importToWebCrypto } from "../../packages/verify/src/signature.ts";
import { createTokenParser } from "../../packages/verify/src/token.ts";
import { audience, encode, signedToken, signingKey, startFakeLatchkey } from "../support/fakeLatchkey.ts";
import { outcome, slugOf, startVerifier } from "../support/verifiers.ts";

const [eddsa, es256, rs256, unpublished] = await Promise.all([
  signingKey("EdDSA"),
  signingKey("ES256"),
  signingKey("RS256"),
  signingKey("ES256"),
]);
const latchkey = await startFakeLatchkey([eddsa, es256, rs256]);
const issuer = latchkey.url;
const verifier = startVerifier({ issuer });
const token = (claims?: object, header?: object, key = es256) => signedToken(key, issuer, claims, header);
const good = token();
const [header = "", payload = "", signature = ""] = good.split(".");
const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
await verifier.ready();

test("the principal has what the token says, and is the same object each time", async () => {
  const sent = token({ sid: "a-session", jti: "a-token", scope: "orders:read orders:write", roles: ["clerk"] });
  const principal = await verifier.ask(sent);
  expect(principal).toEqual({
    kind: "user",
    userId: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b",
    username: "miguel",
    clientId: "latchkey",
    scopes: new Set(["orders:read", "orders:write"]),
    roles: ["clerk"],
    sessionId: "a-session",
    tokenId: "a-token",
    expiresAt: new Date(Number(read(sent.split(".")[1] ?? "")["exp"]) * 1000),
  });
  expect(Object.isFrozen(principal)).toBe(true);
  expect(verifier.verify(`Bearer ${sent}`)).toBe(principal);
});

test.each(["Bearer", "bearer", "BEARER"])(
  "a token is accepted with %s, and as the username of Basic",
  async (scheme) => {
    const sent = token();
    expect(await outcome(verifier, `${scheme} ${sent}`)).toMatchObject({ kind: "user" });
    const basic = Buffer.from(`${sent}:any password`).toString("base64");
    expect(await outcome(verifier, `Basic ${basic}`)).toMatchObject({ kind: "user" });
  },
);

test.each([
  ["EdDSA", eddsa, "EdDSA"],
  ["Ed25519 (RFC 9864)", eddsa, "Ed25519"],
  ["ES256", es256, "ES256"],
  ["RS256", rs256, "RS256"],
])("a token signed with %s is accepted", async (_name, key, alg) => {
  expect(await verifier.ask(token({}, { alg }, key))).toMatchObject({ kind: "user" });
});

describe("Web Crypto, where there is no node:crypto,", () => {
  test.each([eddsa, es256, rs256])("verifies signatures ($alg)", async (key) => {
    const imported = await importJwk(key.jwk, importToWebCrypto);
    const signed = key.sign("an input");
    const text = (bytes: Buffer) => bytes.toString("base64url");
    expect(imported?.algorithm).toBe(key.alg);
    expect(await imported?.verify("an input", text(signed))).toBe(true);
    expect(await imported?.verify("another input", text(signed))).toBe(false);
    expect(await imported?.verify("an input", text(signed.subarray(1)))).toBe(false);
    expect(await imported?.verify("an input", text(Buffer.alloc(signed.length)))).toBe(false);
  });

  test("serves a whole verifier", async () => {
    const getBuiltinModule = vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined);
    vi.resetModules();
    const { createVerifier } = await import("../../packages/verify/src/verifier.ts");
    getBuiltinModule.mockRestore();
    const web = createVerifier({ issuer, audience: verifier.audience });
    await web.ready();
    for (const key of [eddsa, es256, rs256]) {
      const sent = token({}, {}, key);
      const answer = web.verify(`Bearer ${sent}`);
      expect(answer).toBeInstanceOf(Promise);
      expect(await answer).toMatchObject({ kind: "user" });
      const altered = `${sent.slice(0, -8)}${sent.slice(-8) === "AAAAAAAA" ? "BBBBBBBB" : "AAAAAAAA"}`;
      await expect(web.verify(`Bearer ${altered}`)).rejects.toMatchObject({ status: 401 });
    }
    await web.close();
  });
});

const hmac = (key: string | Buffer, kid = es256.kid) => {
  const input = `${encode({ alg: "HS256", typ: "at+jwt", kid })}.${payload}`;
  return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
};
const foreign = generateKeyPairSync("ec", { namedCurve: "P-256" });
const derSignature = () => {
  const input = `${header}.${payload}`;
  return `${input}.${sign("sha256", Buffer.from(input), foreign.privateKey).toString("base64url")}`;
};
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const unusedBits = (part: string) => part.slice(0, -1) + alphabet[alphabet.indexOf(part.at(-1) ?? "") ^ 1];

const forged: [string, string][] = [
  ["nothing", ""],
  ["a word", "token"],
  ["dots", ".."],
  ["alg none", `${encode({ alg: "none", typ: "at+jwt", kid: es256.kid })}.${payload}.`],
  ["alg none and a signature", `${encode({ alg: "none", typ: "at+jwt", kid: es256.kid })}.${payload}.${signature}`],
  ["HS256 with the public key", hmac(JSON.stringify(es256.jwk))],
  ["HS256 with the x of the public key", hmac(Buffer.from(String(eddsa.jwk.x), "base64url"), eddsa.kid)],
  ["the alg of another key", token({}, { alg: "RS256" })],
  ["the alg of another type with that key's signature", token({}, { alg: "ES256", kid: es256.kid }, rs256)],
  ["another alg for RSA", token({}, { alg: "PS256" }, rs256)],
  ["ES384", token({}, { alg: "ES384" })],
  ["alg in other letters", token({}, { alg: "es256" })],
  ["no alg", token({}, { alg: undefined })],
  ["a foreign key under a published kid", token({}, { kid: es256.kid }, unpublished)],
  ["the kid of another published key", token({}, { kid: eddsa.kid })],
  ["no kid", token({}, { kid: undefined })],
  ["a kid that is a path", token({}, { kid: "../../../../../../../etc/passwd/../../../../x" })],
  ["a kid of the prototype", token({}, { kid: "__proto__" })],
  ["a key in its own header", token({}, { jwk: unpublished.jwk, kid: "x" }, unpublished)],
  ["a critical extension", token({}, { crit: ["exp"] })],
  ["typ JWT", token({}, { typ: "JWT" })],
  ["typ in other letters", token({}, { typ: "AT+JWT" })],
  ["no typ", token({}, { typ: undefined })],
  ["a DER signature", derSignature()],
  ["no signature", `${header}.${payload}.`],
  ["a zero signature", `${header}.${payload}.${Buffer.alloc(64).toString("base64url")}`],
  ["a short signature", `${header}.${payload}.${signature.slice(0, 20)}`],
  ["a long signature", `${good}AAAA`],
  ["unused bits in the signature", `${header}.${payload}.${unusedBits(signature)}`],
  ["padding", `${good}==`],
  ["a space in the signature", `${header}.${payload}.${signature.slice(0, 5)} ${signature.slice(5)}`],
  ["the other alphabet", `${header}.${payload}.+/${signature.slice(2)}`],
  ["four parts", `${good}.${signature}`],
  ["a fifth part of nothing", `${good}..`],
  ["a header that is not an object", `${encode([1])}.${payload}.${signature}`],
  ["a header that is not JSON", `${Buffer.from("{").toString("base64url")}.${payload}.${signature}`],
  ["a payload that is not UTF-8", `${header}.${Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")}.${signature}`],
  ["a deep payload", `${header}.${Buffer.from("[".repeat(10_000)).toString("base64url")}.${signature}`],
  ["an altered scope", `${header}.${encode({ ...read(payload), scope: "orders:write" })}.${signature}`],
  ["an altered expiry", `${header}.${encode({ ...read(payload), exp: 9_999_999_999 })}.${signature}`],
  ["a megabyte", `${header}.${"A".repeat(1_000_000)}.${signature}`],
  ["a megabyte of dots", ".".repeat(1_000_000)],
  ["17 kB that are signed", token({ padding: "x".repeat(17_000) })],
];

test.each(forged)("a token with %s is a 401 invalid-token", async (_name, sent) => {
  const refusal = await outcome(verifier, `Bearer ${sent}`);
  expect(refusal).toMatchObject({ status: 401, problem: { type: `${issuer}/problems/invalid-token` } });
});

test("any altered character is refused, also after the token was verified", async () => {
  expect(await verifier.ask(good)).toMatchObject({ kind: "user" });
  for (let position = 0; position < good.length; position += 11) {
    if (good[position] === ".") continue;
    const other = alphabet[(alphabet.indexOf(good[position] ?? "") + 1) % 64];
    const altered = good.slice(0, position) + other + good.slice(position + 1);
    expect(await verifier.ask(altered), `at ${position}`).toBe("invalid-token");
  }
  expect(await verifier.ask(`x.${signature}`)).toBe("invalid-token");
  expect(await verifier.ask(signature)).toBe("invalid-token");
});

const times = [-1, 1.5, 1e15, 253_402_300_800, "1", null, [], {}, undefined];
const texts = ["", 7, null, [], {}, "\ud800", "x".repeat(1_025)];
const wrongClaims: object[] = [
  ...["https://elsewhere.example", `${issuer}/`, [issuer], undefined].map((iss) => ({ iss })),
  ...["https://elsewhere.example", issuer, [verifier.audience], "", undefined].map((aud) => ({ aud })),
  ...times.flatMap((time) => [{ exp: time }, { iat: time }]),
  ...[-1, "1", null].map((nbf) => ({ nbf })),
  ...[...texts, undefined].flatMap((text) => [{ sub: text }, { jti: text }, { username: text }, { client_id: text }]),
  ...texts.map((sid) => ({ sid })),
  ...[-1, 0.5, "0", null, undefined, 2_147_483_647, 2 ** 31].map((epoch) => ({ epoch })),
  ...[7, null, [], undefined, " ", "a  b", " a", 'a"b', "a\\b", "ä", "x".repeat(65)].map((scope) => ({ scope })),
  ...["clerk", null, [7], [""], {}, undefined, Array.from({ length: 1_025 }, String)].map((roles) => ({ roles })),
  ...[[], null, "x", { a: "1" }, { a: -1 }, { a: 2_147_483_647 }, { "": 1 }, undefined].map((epochs) => ({ epochs })),
  { iat: Math.floor(Date.now() / 1000) + 120 },
  { nbf: Math.floor(Date.now() / 1000) + 120 },
];

test.each(wrongClaims.map((claims) => [JSON.stringify(claims).slice(0, 60), claims]))(
  "a token of Latchkey's own key with %s is a 401 invalid-token",
  async (_name, claims) => {
    expect(await verifier.ask(token(claims as object))).toBe("invalid-token");
  },
);

test("a token that has expired is a token-expired, if everything else is valid", async () => {
  const past = Math.floor(Date.now() / 1000) - 10;
  expect(await verifier.ask(token({ iat: past - 10, exp: past }))).toBe("token-expired");
  expect(await verifier.ask(token({ exp: past, aud: "https://elsewhere.example" }))).toBe("invalid-token");
  expect(await verifier.ask(`${token({ exp: past }).slice(0, -4)}AAAA`)).toBe("invalid-token");
});

test("a verified token is refused once it has expired, or if the clock was set back before its issue", async () => {
  const sent = token();
  expect(await verifier.ask(sent)).toMatchObject({ kind: "user" });
  const expiresAtMs = Number(read(sent.split(".")[1] ?? "")["exp"]) * 1000;
  const clock = vi.spyOn(Date, "now");
  try {
    clock.mockReturnValue(expiresAtMs - 720_000);
    expect(await verifier.ask(sent)).toBe("invalid-token");
    clock.mockReturnValue(expiresAtMs - 1);
    expect(await verifier.ask(sent)).toMatchObject({ kind: "user" });
    clock.mockReturnValue(expiresAtMs);
    expect(await verifier.ask(sent)).toBe("token-expired");
    expect(verifier.verify.bind(undefined, `Bearer ${sent}`)).toThrow();
  } finally {
    clock.mockRestore();
  }
});

test("scopes are required, all of them, and the refusal names the missing ones", async () => {
  const sent = token({ scope: "orders:read" });
  for (let use = 0; use < 2; use += 1) {
    expect(await verifier.ask(sent, ["orders:read"])).toMatchObject({ kind: "user" });
    expect(await verifier.ask(sent, [])).toMatchObject({ kind: "user" });
    const refusal = await outcome(verifier, `Bearer ${sent}`, ["orders:read", "orders:write", "orders:close"]);
    expect(refusal).toMatchObject({ status: 403, problem: { scope: "orders:write orders:close" } });
  }
  expect(await verifier.ask(token({ scope: "" }), ["orders:read"])).toBe("insufficient-scope");
});

test("a token for Latchkey itself has no scope that this service could know, so it has none", async () => {
  const own = startVerifier({ issuer, audience: issuer });
  const sent = token({ aud: issuer, scope: undefined, roles: undefined, epochs: undefined });
  expect(await own.ask(sent)).toMatchObject({ scopes: new Set(), roles: [] });
  expect(await own.ask(sent, ["orders:read"])).toBe("insufficient-scope");
  expect(await own.ask(good)).toBe("invalid-token");
});

test("a password is refused with an explanation, and malformed Basic credentials with a 400", async () => {
  const basic = (text: string | Buffer) => `Basic ${Buffer.from(text).toString("base64")}`;
  const password = await outcome(verifier, basic("miguel:correct horse battery"));
  expect(password).toMatchObject({ status: 401, problem: { detail: expect.stringContaining("token or an API key") } });
  for (const header of [
    "Basic",
    "Basic !",
    "Basic YQ",
    `${basic("a:b")} `,
    basic("no colon"),
    basic(Buffer.from([0xff, 0x3a])),
  ]) {
    const refusal = await outcome(verifier, header);
    expect(refusal, header).toMatchObject({ status: 400, problem: { errors: [{ header: "Authorization" }] } });
  }
});

test("without a credential, there is no API key", async () => {
  const key = "lk_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3TQtQq";
  const refusal = await outcome(verifier, `Bearer ${key}`);
  expect(refusal).toMatchObject({ status: 401, problem: { detail: "This service does not accept an API key." } });
  expect(latchkey.requests.map(({ path }) => path)).not.toContain("/oauth/introspect");
});

test("the verifier remembers a bounded number of tokens, those that are used last", async () => {
  const small = startVerifier({ issuer, maxRemembered: 10 });
  await small.ready();
  const used = token();
  await small.ask(used);
  for (let count = 0; count < 30; count += 1) {
    await small.ask(token());
    expect(small.verify(`Bearer ${used}`)).not.toBeInstanceOf(Promise);
  }
  await small.ask("no token");
  await small.ask(used, ["a scope"]);
  expect(small.counters()).toMatchObject({
    ...{ remembered: 10, accepted: 61, acceptedFromMemory: 30 },
    refused: { "invalid-token": 1, "insufficient-scope": 1 },
  });
});

test("a flood of unsigned tokens with different headers and long scopes takes no memory", () => {
  const parse = createTokenParser(issuer, audience);
  const claims = read(payload);
  const before = usedMemory();
  for (let number = 0; number < 1_000; number += 1) {
    const scope = Array.from({ length: 500 }, (_, index) => `${number}:${index}`).join(" ");
    const sent = `${encode({ ...read(header), number })}.${encode({ ...claims, scope })}.${signature}`;
    expect(parse(sent)?.principal.scopes.size).toBe(500);
  }
  expect(usedMemory() - before).toBeLessThan(10_000_000);
});

/** After garbage collection. */
function usedMemory(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

test("whatever the header is, the verifier throws nothing but a refusal", async () => {
  const headers = [
    undefined,
    null,
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Negotiate abc",
    "\u0000",
    "Bearer \ud800",
    "Bearer é",
    "a".repeat(99_999),
  ];
  for (const sent of headers) {
    const refusal = await outcome(verifier, sent);
    if (!("problem" in refusal)) throw new Error("accepted");
    expect(["authentication-required", "invalid-token"]).toContain(slugOf(refusal));
  }
});
