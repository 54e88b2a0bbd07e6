/**
 * Public keys and signatures: with `node:crypto` where there is one (Node.js, Deno, Bun), because it answers at once, else with
 * Web Crypto.
 */
import { isObject } from "./json.ts";

/** The algorithm is that of the key's type. A token cannot choose another one. */
export type Algorithm = "EdDSA" | "ES256" | "RS256";

export type VerificationKey = {
  kid: string;
  algorithm: Algorithm;
  verify(input: Uint8Array, signature: Uint8Array): boolean | Promise<boolean>;
};

/** The members of a public JWK (RFC 7517) that make the key. Others, such as a private part, are not used. */
type PublicJwk =
  | { kty: "OKP"; crv: "Ed25519"; x: string }
  | { kty: "EC"; crv: "P-256"; x: string; y: string }
  | { kty: "RSA"; n: string; e: string };

export type ImportKey = (jwk: PublicJwk, algorithm: Algorithm) => Promise<VerificationKey["verify"]>;

/** Smaller keys are weak, and larger ones take long to verify. */
const minRsaBytes = 256;
const maxRsaBytes = 1024;

/** A key id of Latchkey is a thumbprint (RFC 7638) with SHA-256. Other values are not looked up. */
export const isKeyId = (value: unknown): value is string => typeof value === "string" && /^[\w-]{43}$/.test(value);

/** @returns the key of a JWK; `undefined` if it cannot verify Latchkey's tokens */
export async function importJwk(jwk: unknown, importKey: ImportKey): Promise<VerificationKey | undefined> {
  const found = parseJwk(jwk);
  if (!found) return undefined;
  try {
    const { kid, algorithm, publicJwk } = found;
    return { kid, algorithm, verify: await importKey(publicJwk, algorithm) };
  } catch {
    return undefined; // not a point of the curve, for example
  }
}

function parseJwk(jwk: unknown): { kid: string; algorithm: Algorithm; publicJwk: PublicJwk } | undefined {
  if (!isObject(jwk)) return undefined;
  const { kid, kty, crv, alg, use, key_ops: operations } = jwk;
  if (!isKeyId(kid) || (use !== undefined && use !== "sig")) return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return undefined;
  const found = publicPart(kty, crv, jwk);
  if (!found || (alg !== undefined && !isAlgorithmOf(found.algorithm, alg))) return undefined;
  return { kid, ...found };
}

function publicPart(
  kty: unknown,
  crv: unknown,
  { x, y, n, e }: Readonly<Record<string, unknown>>,
): { algorithm: Algorithm; publicJwk: PublicJwk } | undefined {
  if (kty === "OKP" && crv === "Ed25519" && isNumber(x, 32, 32)) {
    return { algorithm: "EdDSA", publicJwk: { kty, crv, x } };
  }
  if (kty === "EC" && crv === "P-256" && isNumber(x, 32, 32) && isNumber(y, 32, 32)) {
    return { algorithm: "ES256", publicJwk: { kty, crv, x, y } };
  }
  // A large exponent takes long to verify.
  if (kty === "RSA" && isNumber(n, minRsaBytes, maxRsaBytes) && isNumber(e, 1, 4)) {
    return { algorithm: "RS256", publicJwk: { kty, n, e } };
  }
  return undefined;
}

const isNumber = (value: unknown, minBytes: number, maxBytes: number): value is string => {
  const bytes = typeof value === "string" ? decodeBase64url(value) : undefined;
  return bytes !== undefined && bytes.length >= minBytes && bytes.length <= maxBytes;
};

/** Whether the `alg` of a token or a JWK is that of a key. `Ed25519` is the name in RFC 9864 of what Latchkey calls `EdDSA`. */
export const isAlgorithmOf = (algorithm: Algorithm, alg: unknown): boolean =>
  alg === algorithm || (algorithm === "EdDSA" && alg === "Ed25519");

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const shape = /^[\w-]*$/;

/**
 * Decodes base64url (RFC 4648, section 5) strictly: no padding, no other characters, and no bits that are set but not used.
 * Otherwise a token could be written in several ways.
 * @returns `undefined` if the text is not canonical
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  const rest = text.length % 4;
  if (rest === 1 || !shape.test(text)) return undefined;
  if (rest > 0 && alphabet.indexOf(text.charAt(text.length - 1)) % (rest === 2 ? 16 : 4) !== 0) return undefined;
  return decode(text);
}

type NodeModules = { crypto: typeof import("node:crypto"); buffer: typeof import("node:buffer") };

function nodeModules(): NodeModules | undefined {
  const load = globalThis.process?.getBuiltinModule;
  const crypto = load?.("node:crypto");
  const buffer = load?.("node:buffer");
  return crypto && buffer && { crypto, buffer };
}

const node = nodeModules();

const decode: (text: string) => Uint8Array = node
  ? (text) => node.buffer.Buffer.from(text, "base64url")
  : (text) =>
      Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

/** With `node:crypto`, in the calling thread: Web Crypto takes longer to hand a signature over than to verify it. */
const importToNode =
  ({ crypto }: NodeModules): ImportKey =>
  async (jwk, algorithm) => {
    const key = crypto.createPublicKey({ key: jwk, format: "jwk" });
    const hash = algorithm === "EdDSA" ? null : "sha256";
    const input = algorithm === "ES256" ? ({ key, dsaEncoding: "ieee-p1363" } as const) : key;
    return (data, signature) => crypto.verify(hash, data, input, signature);
  };

const webAlgorithms = {
  EdDSA: { name: "Ed25519" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

export const importToWebCrypto: ImportKey = async (jwk, algorithm) => {
  const parameters = webAlgorithms[algorithm];
  const key = await crypto.subtle.importKey("jwk", jwk, parameters, false, ["verify"]);
  return (data, signature) => crypto.subtle.verify(parameters, key, signature, data);
};

/** The fastest way of this runtime to verify signatures. */
export const importHere: ImportKey = node ? importToNode(node) : importToWebCrypto;
