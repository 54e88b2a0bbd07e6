/** Only unaltered, unexpired tokens signed by and for this service are accepted. */
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Sent } from "../support/client.ts";
import { startTestService, untilServed } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const good = await service.token("miguel");
/** The lookup of an unknown key is given up after 100 ms. */
const present = (sent: Sent) => untilServed(() => service.send("GET", "/api/resource", sent));
const [header = "", payload = "", signature = ""] = good.split(".");
const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
const write = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const foreign = generateKeyPairSync("ec", { namedCurve: "P-256" });
const other = await startTestService({}, service.databaseUrl);

/** Signs with a key that is not the service's, with any header. */
const forge = (head: object, claims: object) => {
  const text = `${write({ ...read(header), ...head })}.${write({ ...read(payload), ...claims })}`;
  const key = { key: foreign.privateKey, dsaEncoding: "ieee-p1363" } as const;
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
};
const publicKey = (await service.send("GET", "/.well-known/jwks.json")).json.keys.find(
  ({ kid }: { kid: string }) => kid === read(header).kid,
);
const hmac = (key: string | Buffer) => {
  const text = `${write({ ...read(header), alg: "HS256" })}.${payload}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
};
/** The last character of a signature of 64 bytes has four unused bits. */
const unusedBits = (part: string) => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return part.slice(0, -1) + alphabet[alphabet.indexOf(part.at(-1) as string) ^ 1];
};

const forged: [string, string][] = [
  ["alg none", `${write({ ...read(header), alg: "none" })}.${payload}.`],
  ["alg none with the signature", `${write({ ...read(header), alg: "none" })}.${payload}.${signature}`],
  ["HS256 with the public key", hmac(Buffer.from(publicKey.x, "base64url"))],
  ["HS256 with the public key's text", hmac(publicKey.x)],
  ["HS256 with the JWK", hmac(JSON.stringify(publicKey))],
  ["a foreign key under our kid", forge({}, {})],
  ["a foreign key under its own kid", forge({ kid: "somebody-else" }, {})],
  ["a key in its own header", forge({ jwk: foreign.publicKey.export({ format: "jwk" }) }, {})],
  [
    "an altered user",
    `${header}.${write({ ...read(payload), sub: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b" })}.${signature}`,
  ],
  ["an altered expiry", `${header}.${write({ ...read(payload), exp: 9_999_999_999 })}.${signature}`],
  ["an altered signature", `${header}.${payload}.${signature.replace(/^./, (c) => (c === "A" ? "B" : "A"))}`],
  ["no signature", `${header}.${payload}.`],
  ["unused bits in the signature", `${header}.${payload}.${unusedBits(signature)}`],
  ["padding", `${good}=`],
  ["a space in the signature", `${header}.${payload}.${signature.slice(0, 5)} ${signature.slice(5)}`],
  ["the other alphabet", good.replaceAll("-", "+").replaceAll("_", "/").replace(/$/, "/")],
  ["four parts", `${good}.${signature}`],
  ["a JSON header that is not an object", `${write([1])}.${payload}.${signature}`],
];

describe("a token with", () => {
  test.each(forged)("%s is a 401 invalid-token, both ways", async (_name, token) => {
    for (const sent of [{ bearer: token }, { basic: [token, "unused"] as [string, string] }]) {
      const answer = await present(sent);
      expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
      expect(answer.header("www-authenticate")).toContain('error="invalid_token"');
    }
  });

  test("the signature of a token that was verified before is invalid", async () => {
    expect(await present({ bearer: good })).toMatchObject({ status: 200 });
    const altered = `${header}.${write({ ...read(payload), username: "admin" })}.${signature}`;
    for (const bearer of [altered, `x.${signature}`, signature]) {
      const answer = await present({ bearer });
      expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
    }
  });

  test("any altered character is rejected", async () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (let position = 0; position < good.length; position += 7) {
      const at = good[position] as string;
      if (at === ".") continue;
      const altered = good.slice(0, position) + alphabet[(alphabet.indexOf(at) + 1) % 64] + good.slice(position + 1);
      expect((await present({ bearer: altered })).status, `at ${position}`).toBe(401);
    }
  });

  test("our key but another type, issuer or audience, or without a claim, is invalid", async () => {
    const { importJWK, SignJWT } = await import("jose");
    const { createSeal } = await import("../../src/tokens/sealing.ts");
    const { secretKey } = await import("../support/service.ts");
    const [row] = await service.sql("SELECT kid, private_jwe FROM signing_keys");
    const kid = String(row?.["kid"]);
    const { privateJwk } = await createSeal([secretKey]).open(kid, String(row?.["private_jwe"]));
    const key = await importJWK(privateJwk, "ES256");
    const claims = read(payload);
    const signed = (head: object, change: object) =>
      new SignJWT({ ...claims, ...change }).setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid, ...head }).sign(key);
    const status = async (token: string) => (await present({ bearer: token })).problem;

    expect(await status(await signed({}, {}))).toBeUndefined();
    expect(await status(await signed({ typ: "JWT" }, {}))).toBe("invalid-token");
    expect(await status(await signed({ typ: undefined }, {}))).toBe("invalid-token");
    for (const change of [
      { iss: "somebody" },
      { aud: "somebody" },
      { exp: undefined },
      { jti: undefined },
      { sub: undefined },
      { sub: "not-a-uuid" },
      { epoch: "0" },
      { epoch: -1 },
      { username: undefined },
      { nbf: 9_999_999_999 },
      { nbf: "0" },
      { iat: undefined },
      ...[-1e15, -1, 1e15, 1e308, -1e308, 1.5, 8.64e12 + 1, 253_402_300_800, "1", null, [], {}].flatMap((time) => [
        { exp: time },
        { iat: time },
        { exp: 1, iat: time },
      ]),
      { jti: "not-a-uuid" },
      { sid: "not-a-uuid" },
      { sid: null },
      { sub: 7 },
      { epoch: 2 ** 31 },
      { epoch: 0.5 },
    ]) {
      expect(await status(await signed({}, change)), JSON.stringify(change)).toBe("invalid-token");
    }
    expect(await status(await signed({}, { exp: 1 }))).toBe("token-expired");
    // Tokens of an earlier version are valid until they expire.
    const former = { iss: "latchkey", aud: "latchkey", client_id: undefined };
    expect(await status(await signed({}, former))).toBeUndefined();
    expect(await status(await signed({}, { ...former, exp: 1 }))).toBe("token-expired");
    expect(await status(await signed({}, { client_id: "another" }))).toBe("invalid-token");
    expect(await status(await signed({}, { exp: 1, aud: "somebody" }))).toBe("invalid-token");
  });

  test("another instance on the same database accepts it; one with another PUBLIC_URL does not", async () => {
    const answer = await other.send("GET", "/api/users/me", { bearer: good });
    expect(answer).toMatchObject({ status: 200, json: miguel });
    const elsewhere = await startTestService({ PUBLIC_URL: "https://elsewhere.example.com" }, service.databaseUrl);
    expect(await elsewhere.send("GET", "/api/resource", { bearer: good })).toMatchObject({
      status: 401,
      problem: "invalid-token",
    });
  });
});
