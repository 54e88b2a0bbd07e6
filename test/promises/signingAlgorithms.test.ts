/** Tokens are signed with ES256, EdDSA or RS256, and a key verifies its own algorithm only. */
import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  privateEncrypt,
  randomBytes,
  randomUUID,
  sign,
} from "node:crypto";
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import { describe, expect, test } from "vitest";
import type { SigningAlgorithm } from "../../src/tokens/algorithms.ts";
import { createSeal, makeKey } from "../../src/tokens/sealing.ts";
import { password, secretKey, startTestService, type TestService, untilServed } from "../support/service.ts";
import { encoded, ownKeys, signedWith, signWith } from "../support/signingKeys.ts";

const algorithms = ["ES256", "EdDSA", "RS256"] as const satisfies SigningAlgorithm[];
const issuer = "http://127.0.0.1:8080";
const signatureBytes = { ES256: 64, EdDSA: 64, RS256: 256 };

const services = new Map<SigningAlgorithm, TestService>();
for (const algorithm of algorithms) {
  const service = await startTestService({ SIGNING_ALG: algorithm });
  await service.register("miguel");
  services.set(algorithm, service);
}
const serviceWith = (algorithm: SigningAlgorithm) => services.get(algorithm) as TestService;
const keyOf = async (algorithm: SigningAlgorithm) => {
  const key = (await ownKeys(serviceWith(algorithm))).at(-1);
  if (!key) throw new Error("there is no key");
  return key;
};
/** The lookup of an unknown key is given up after 100 ms. */
const check = (service: TestService, bearer: string) =>
  untilServed(() => service.send("GET", "/api/resource", { bearer }));
const rejected = { status: 401, problem: "invalid-token" };

describe.each(algorithms)("with SIGNING_ALG=%s", (algorithm) => {
  const service = serviceWith(algorithm);

  test("jose and an RFC 9068 client library verify a token by the key set", async () => {
    const token = await service.token("miguel");
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: algorithm, typ: "at+jwt" });
    expect(Buffer.from(token.split(".")[2] ?? "", "base64url")).toHaveLength(signatureBytes[algorithm]);
    const jwks_uri = `${service.url}/.well-known/jwks.json`;
    const options = { algorithms: [algorithm], issuer, audience: issuer, typ: "at+jwt" };
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), options);
    const session = (await service.send("POST", "/api/sessions", { basic: ["miguel", password] })).json;
    for (const bearer of [token, session.access_token]) {
      expect((await check(service, bearer)).status).toBe(200);
      const request = new Request(`${service.url}/api/resource`, { headers: { authorization: `Bearer ${bearer}` } });
      const accepted = await oauth.validateJwtAccessToken({ issuer, jwks_uri }, request, issuer, {
        [oauth.allowInsecureRequests]: true,
        signingAlgorithms: [algorithm],
      });
      expect(accepted.sub).toBe(payload.sub);
    }
  });

  test("the key set has the public members of two keys of this algorithm, and the private ones are encrypted", async () => {
    const { keys } = (await service.send("GET", "/.well-known/jwks.json")).json;
    const members = {
      ES256: ["alg", "crv", "kid", "kty", "use", "x", "y"],
      EdDSA: ["alg", "crv", "kid", "kty", "use", "x"],
      RS256: ["alg", "e", "kid", "kty", "n", "use"],
    };
    expect(keys).toHaveLength(2);
    for (const key of keys) {
      expect(Object.keys(key).sort()).toEqual(members[algorithm]);
      expect(key).toMatchObject({ alg: algorithm, use: "sig" });
      expect(createPublicKey({ key, format: "jwk" }).type).toBe("public");
    }
    const [row] = await service.sql("SELECT string_agg(signing_keys::text, '') AS text FROM signing_keys");
    for (const { privateJwk } of await ownKeys(service)) {
      expect(privateJwk.d).toMatch(/^[\w-]{43,}$/);
      expect(String(row?.["text"])).not.toContain(privateJwk.d);
    }
  });

  test("the name of another algorithm in the header is rejected, with any signature", async () => {
    const own = await keyOf(algorithm);
    const claims = decodeJwt(await service.token("miguel"));
    expect((await check(service, signedWith(own, claims))).status).toBe(200);
    const publicKey = createPublicKey(own.key);
    const publicJwk = publicKey.export({ format: "jwk" });
    const spellings = [
      publicKey.export({ format: "pem", type: "spki" }),
      publicKey.export({ format: "der", type: "spki" }),
      JSON.stringify(publicJwk),
      Buffer.from(publicJwk.x ?? publicJwk.n ?? "", "base64url"),
      "",
    ];
    const forged = [
      signedWith(own, claims, { header: { alg: "none" }, sign: () => Buffer.alloc(0) }),
      signedWith(own, claims, { header: { alg: "none" } }),
      ...spellings.map((secret) =>
        signedWith(own, claims, {
          header: { alg: "HS256" },
          sign: (input) => createHmac("sha256", secret).update(input).digest(),
        }),
      ),
      ...["ES384", "ES512", "RS512", "PS256", "Ed25519", "Ed448", algorithm.toLowerCase(), "", undefined].map((alg) =>
        signedWith(own, claims, { header: { alg } }),
      ),
    ];
    for (const other of algorithms.filter((other) => other !== algorithm)) {
      const { key } = await keyOf(other);
      forged.push(signedWith(own, claims, { header: { alg: other } }));
      // Both the header and the signature are of the other algorithm.
      forged.push(signedWith(own, claims, { header: { alg: other }, sign: (input) => signWith(other, input, key) }));
      // And the header is right.
      forged.push(signedWith(own, claims, { sign: (input) => signWith(other, input, key) }));
    }
    for (const token of forged) expect(await check(service, token), token).toMatchObject(rejected);
  });
});

/** Big-endian, in so many bytes. */
const bytes = (value: bigint, length: number) => Buffer.from(value.toString(16).padStart(length * 2, "0"), "hex");
const number = (buffer: Buffer) => BigInt(`0x${buffer.toString("hex")}`);
const order = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  EdDSA: 2n ** 252n + 27742317777372353535851937790883648493n,
};
const halves = (signature: Buffer): [Buffer, Buffer] => [signature.subarray(0, 32), signature.subarray(32)];
const p1363 = (input: Buffer, key: KeyObject) => sign("sha256", input, { key, dsaEncoding: "ieee-p1363" });
const reversed = (buffer: Buffer) => Buffer.from(buffer).reverse();

type Malformed = [name: string, sign: (input: Buffer, key: KeyObject) => Buffer];
const zeros = (length: number) => Buffer.alloc(length);

const malformedES256: Malformed[] = [
  ["in DER", (input, key) => sign("sha256", input, key)],
  ["of a DER signature cut to 64 bytes", (input, key) => sign("sha256", input, key).subarray(0, 64)],
  ["of zeros", () => zeros(64)],
  ["with r = 0", (input, key) => Buffer.concat([zeros(32), halves(p1363(input, key))[1]])],
  ["with s = 0", (input, key) => Buffer.concat([halves(p1363(input, key))[0], zeros(32)])],
  ["with r = 1 and s = 1", () => Buffer.concat([bytes(1n, 32), bytes(1n, 32)])],
  ["with r = s = the order", () => Buffer.concat([bytes(order.ES256, 32), bytes(order.ES256, 32)])],
  ["with s = the order", (input, key) => Buffer.concat([halves(p1363(input, key))[0], bytes(order.ES256, 32)])],
  ["of all ones", () => Buffer.alloc(64, 0xff)],
  ["with r and s exchanged", (input, key) => Buffer.concat(halves(p1363(input, key)).reverse())],
  ["of 63 bytes", (input, key) => p1363(input, key).subarray(0, 63)],
  ["of 65 bytes", (input, key) => Buffer.concat([p1363(input, key), zeros(1)])],
  ["with a leading zero", (input, key) => Buffer.concat([zeros(1), p1363(input, key)])],
  [
    "with r and s of 33 bytes",
    (input, key) => Buffer.concat(halves(p1363(input, key)).flatMap((half) => [zeros(1), half])),
  ],
  [
    "with r and s of 48 bytes",
    (input, key) => Buffer.concat(halves(p1363(input, key)).flatMap((half) => [zeros(16), half])),
  ],
  ["of r alone", (input, key) => halves(p1363(input, key))[0]],
  ["over SHA-384", (input, key) => sign("sha384", input, { key, dsaEncoding: "ieee-p1363" })],
  ["over SHA-1", (input, key) => sign("sha1", input, { key, dsaEncoding: "ieee-p1363" })],
];

const malformedEdDSA: Malformed[] = [
  ["of zeros", () => zeros(64)],
  ["with S = 0", (input, key) => Buffer.concat([halves(sign(null, input, key))[0], zeros(32)])],
  [
    // RFC 8032, section 5.1.7: the same signature otherwise.
    "with S + L",
    (input, key) => {
      const [r, s] = halves(sign(null, input, key));
      return Buffer.concat([r, reversed(bytes(number(reversed(s)) + order.EdDSA, 32))]);
    },
  ],
  ["with the neutral element and S = 0", () => Buffer.concat([Buffer.from([1]), zeros(63)])],
  ["of 63 bytes", (input, key) => sign(null, input, key).subarray(0, 63)],
  ["of 65 bytes", (input, key) => Buffer.concat([sign(null, input, key), zeros(1)])],
  ["with R and S exchanged", (input, key) => Buffer.concat(halves(sign(null, input, key)).reverse())],
  ["of all ones", () => Buffer.alloc(64, 0xff)],
];

/** A PKCS #1 v1.5 block (RFC 8017, section 9.2), signed as it is. */
const raw = (key: KeyObject, block: Buffer) => privateEncrypt({ key, padding: constants.RSA_NO_PADDING }, block);
const digestInfo = (input: Buffer, key: KeyObject): Buffer => {
  const block = privateBlock(key, sign("sha256", input, key));
  return block.subarray(block.indexOf(0, 2) + 1);
};
/** What a signature says: the padded block. */
function privateBlock(key: KeyObject, signature: Buffer): Buffer {
  const { n = "", e = "" } = createPublicKey(key).export({ format: "jwk" });
  const modulus = number(Buffer.from(n, "base64url"));
  let result = 1n;
  let base = number(signature);
  for (let exponent = number(Buffer.from(e, "base64url")); exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % modulus;
    base = (base * base) % modulus;
  }
  return bytes(result, 256);
}
const modulusOf = (key: KeyObject) =>
  number(Buffer.from(createPublicKey(key).export({ format: "jwk" }).n ?? "", "base64url"));
const block = (type: number, filling: Buffer, rest: Buffer) =>
  Buffer.concat([Buffer.from([0, type]), filling, zeros(1), rest]);

const malformedRS256: Malformed[] = [
  ["of zeros", () => zeros(256)],
  ["of one", () => bytes(1n, 256)],
  ["of the modulus", (_input, key) => bytes(modulusOf(key), 256)],
  ["of 255 bytes", (input, key) => sign("sha256", input, key).subarray(0, 255)],
  ["of 257 bytes", (input, key) => Buffer.concat([zeros(1), sign("sha256", input, key)])],
  ["with PSS", (input, key) => sign("sha256", input, { key, padding: constants.RSA_PKCS1_PSS_PADDING })],
  ["over SHA-1", (input, key) => sign("sha1", input, key)],
  ["over SHA-512", (input, key) => sign("sha512", input, key)],
  [
    "with the block type of an encryption",
    (input, key) => {
      const info = digestInfo(input, key);
      return raw(key, block(2, Buffer.alloc(256 - 3 - info.length, 0xff), info));
    },
  ],
  [
    "with a short padding, and garbage behind the digest",
    (input, key) => {
      const info = digestInfo(input, key);
      return raw(key, block(1, Buffer.alloc(8, 0xff), Buffer.concat([info, randomBytes(256 - 11 - info.length)])));
    },
  ],
  [
    "with another padding byte",
    (input, key) => {
      const info = digestInfo(input, key);
      return raw(key, block(1, Buffer.alloc(256 - 3 - info.length, 0xfe), info));
    },
  ],
  [
    "without the name of the hash",
    (input, key) => {
      const digest = digestInfo(input, key).subarray(-32);
      return raw(key, block(1, Buffer.alloc(256 - 3 - 32, 0xff), digest));
    },
  ],
];

describe.each<[SigningAlgorithm, Malformed[]]>([
  ["ES256", malformedES256],
  ["EdDSA", malformedEdDSA],
  ["RS256", malformedRS256],
])("an %s signature", (algorithm, malformed) => {
  test.each(malformed)("%s is rejected", async (_name, signWrongly) => {
    const service = serviceWith(algorithm);
    const claims = decodeJwt(await service.token("miguel"));
    const token = signedWith(await keyOf(algorithm), claims, { sign: signWrongly });
    expect(await check(service, token)).toMatchObject(rejected);
  });
});

test("the block of an RS256 signature that these tests alter is accepted if it is not altered", async () => {
  const service = serviceWith("RS256");
  const claims = decodeJwt(await service.token("miguel"));
  const token = signedWith(await keyOf("RS256"), claims, {
    sign: (input, key) => {
      const info = digestInfo(input, key);
      return raw(key, block(1, Buffer.alloc(256 - 3 - info.length, 0xff), info));
    },
  });
  expect((await check(service, token)).status).toBe(200);
});

test("an ES256 signature with the other s is the same token: revoking one revokes both", async () => {
  const service = serviceWith("ES256");
  const own = await keyOf("ES256");
  const claims = { ...decodeJwt(await service.token("miguel")), jti: randomUUID() };
  const token = signedWith(own, claims);
  const mirrored = signedWith(own, claims, {
    sign: () => {
      const [r, s] = halves(Buffer.from(token.split(".")[2] ?? "", "base64url"));
      return Buffer.concat([r, bytes(order.ES256 - number(s), 32)]);
    },
  });
  for (const bearer of [token, mirrored]) expect((await check(service, bearer)).status).toBe(200);
  expect((await service.send("DELETE", "/api/token", { bearer: token })).status).toBe(204);
  for (const bearer of [token, mirrored])
    expect(await check(service, bearer)).toMatchObject({ status: 401, problem: "token-revoked" });
});

test("while three algorithms are published, a key accepts no signature of another one of them", async () => {
  const service = await startTestService();
  await service.register("miguel");
  for (const algorithm of ["EdDSA", "RS256"] as const) {
    const { kid, privateJwe } = await makeKey(algorithm, createSeal([secretKey]));
    const values = [kid, algorithm, privateJwe];
    const insert = `INSERT INTO signing_keys (kid, algorithm, private_jwe, activates_at)
      VALUES ($1, $2, $3, now() - interval '1 hour')`;
    await service.sql(insert, values);
  }
  const claims = decodeJwt(await service.token("miguel"));
  const keys = (await ownKeys(service)).slice(1); // without the next one
  expect(keys.map(({ algorithm }) => algorithm).sort()).toEqual([...algorithms].sort());
  for (const named of keys)
    for (const signing of keys)
      for (const { algorithm: alg } of keys) {
        const token = signedWith({ ...signing, kid: named.kid }, claims, { header: { alg } });
        const isRight = named === signing && alg === named.algorithm;
        expect((await check(service, token)).status, `${named.algorithm} ${signing.algorithm} ${alg}`).toBe(
          isRight ? 200 : 401,
        );
      }
});

const foreign = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: generateKeyPairSync("ed25519"),
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
};

test.each(algorithms)(
  "a foreign %s key under the id of the own one, or in the header, is rejected",
  async (algorithm) => {
    const service = serviceWith(algorithm);
    const claims = decodeJwt(await service.token("miguel"));
    const own = await keyOf(algorithm);
    const { privateKey, publicKey } = foreign[algorithm];
    const signed = (input: Buffer) => signWith(algorithm, input, privateKey);
    const jwk = publicKey.export({ format: "jwk" });
    for (const header of [{}, { jwk }, { jwk, kid: undefined }, { kid: encoded(jwk).slice(0, 43) }])
      expect(await check(service, signedWith(own, claims, { header, sign: signed }))).toMatchObject(rejected);
  },
);
