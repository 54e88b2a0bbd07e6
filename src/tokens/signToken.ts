import type { KeyObject } from "node:crypto";
import { type SigningAlgorithm, signWith } from "./algorithms.ts";

/** Signs a JWT (RFC 7515, section 7.1). Claims that are `undefined` are left out. */
export async function signToken(
  header: { alg: SigningAlgorithm; typ: string; kid: string },
  claims: object,
  key: KeyObject,
): Promise<string> {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const input = `${encode(header)}.${encode(claims)}`;
  const signature = await signWith(header.alg, Buffer.from(input), key);
  return `${input}.${signature.toString("base64url")}`;
}
