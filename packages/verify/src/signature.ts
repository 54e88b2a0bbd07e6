/**
 * Public keys and signatures. Uses `node:crypto` if it exists (Node.js, Deno, Bun), because it returns results without a
 * promise. Otherwise uses Web Crypto.
 */
import { isObject } from "./json.ts";

/** The algorithm is that of the key's type. A token cannot choose another one. */
export type Algorithm = "EdDSA" | "ES256" | "RS256";

export type VerificationKey = {
  kid: string;
  algorithm: Algorithm;
  /** @param signature canonical base64url. Both are at most `maxTokenLength` long */
  verify(input: string, signature: string): boolean | Promise<boolean>;
};

/** More than Latchkey issues, and as much as Node.js accepts in all headers. */
export const maxTokenLength = 16_384;

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
 * Whether a text is canonical base64url (RFC 4648, section 5): no padding, no other characters, and no bits that are set but not
 * used. Otherwise a token could be written in several ways.
 */
export function isBase64url(text: string): boolean {
  const rest = text.length % 4;
  if (rest === 1 || !shape.test(text)) return false;
  return rest === 0 || alphabet.indexOf(text.charAt(text.length - 1)) % (rest === 2 ? 16 : 4) === 0;
}

/** @returns `undefined` if the text is not canonical */
export const decodeBase64url = (text: string): Uint8Array | undefined => (isBase64url(text) ? decode(text) : undefined);

function loadNode() {
  const load = globalThis.process?.getBuiltinModule;
  const crypto = load?.("node:crypto");
  const Buffer = load?.("node:buffer")?.Buffer;
  return crypto && Buffer && { crypto, Buffer };
}
type Node = NonNullable<ReturnType<typeof loadNode>>;

const node = loadNode();

const decode: (text: string) => Uint8Array<ArrayBuffer> = node
  ? (text) => node.Buffer.from(text, "base64url")
  : (text) =>
      Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

/**
 * Returns a function that converts text to bytes, in a buffer that its next call overwrites. With new buffers for each token,
 * garbage collection would take longer than all other work except the signature.
 */
function scratch({ Buffer }: Node): (text: string, encoding: "base64url" | "latin1") => Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(maxTokenLength);
  return (text, encoding) => bytes.subarray(0, bytes.write(text, encoding));
}

const decodeToScratch = node && scratch(node);

/**
 * Decodes canonical base64url of at most `maxTokenLength` characters.
 * @returns bytes that the next call overwrites
 */
export const decodeBriefly = (text: string): Uint8Array => decodeToScratch?.(text, "base64url") ?? decode(text);

/** With `node:crypto`, in the calling thread: Web Crypto takes longer to hand a signature over than to verify it. */
const importToNode = (node: Node): ImportKey => {
  const inputBytes = scratch(node);
  const signatureBytes = scratch(node);
  return async (jwk, algorithm) => {
    const key = node.crypto.createPublicKey({ key: jwk, format: "jwk" });
    const hash = algorithm === "EdDSA" ? null : "sha256";
    const options = algorithm === "ES256" ? ({ key, dsaEncoding: "ieee-p1363" } as const) : key;
    return (input, signature) =>
      node.crypto.verify(hash, inputBytes(input, "latin1"), options, signatureBytes(signature, "base64url"));
  };
};

const webAlgorithms = {
  EdDSA: { name: "Ed25519" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

const encoder = new TextEncoder();

export const importToWebCrypto: ImportKey = async (jwk, algorithm) => {
  const parameters = webAlgorithms[algorithm];
  const key = await crypto.subtle.importKey("jwk", jwk, parameters, false, ["verify"]);
  return (input, signature) => crypto.subtle.verify(parameters, key, decode(signature), encoder.encode(input));
};

/** The fastest way of this runtime to verify signatures. */
export const importHere: ImportKey = node ? importToNode(node) : importToWebCrypto;
