/** RSA keys that no library makes. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";

/** A key whose public exponent is as long as its modulus of 2048 bits, so that a signature takes as long to verify as to make. */
export function withLongExponent(): KeyObject {
  const { p = "", q = "" } = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  const [first, second] = [decode(p), decode(q)];
  const totient = (first - 1n) * (second - 1n);
  let e = totient - 3n; // odd
  let d = inverse(e, totient);
  while (d === undefined) {
    e -= 2n;
    d = inverse(e, totient);
  }
  const parts = {
    n: first * second,
    e,
    d,
    p: first,
    q: second,
    dp: d % (first - 1n),
    dq: d % (second - 1n),
    qi: inverse(second, first) ?? 0n,
  };
  const encoded = Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, encode(value)]));
  return createPrivateKey({ key: { kty: "RSA", ...encoded }, format: "jwk" });
}

const decode = (part: string): bigint => BigInt(`0x${Buffer.from(part, "base64url").toString("hex")}`);
const encode = (value: bigint): string => {
  const digits = value.toString(16);
  return Buffer.from(digits.padStart(2 * Math.ceil(digits.length / 2), "0"), "hex").toString("base64url");
};

/** The extended Euclidean algorithm. @returns `undefined` if there is no inverse */
function inverse(value: bigint, modulus: bigint): bigint | undefined {
  let [remainder, next] = [modulus, value % modulus];
  let [factor, nextFactor] = [0n, 1n];
  while (next > 0n) {
    const quotient = remainder / next;
    [remainder, next] = [next, remainder - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return remainder === 1n ? (factor + modulus) % modulus : undefined;
}
