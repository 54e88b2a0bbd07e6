/** Signs with the keys of a service, as a test of bad signatures has to. */
import { createPrivateKey, type KeyObject, sign as signInput } from "node:crypto";
import type { JWK } from "jose";
import { type SigningAlgorithm, toSigningAlgorithm } from "../../src/tokens/algorithms.ts";
import { createSeal } from "../../src/tokens/sealing.ts";
import { secretKey, type TestService } from "./service.ts";

export type OwnKey = { kid: string; algorithm: SigningAlgorithm; privateJwk: JWK; key: KeyObject };

export const encoded = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
export const decoded = (part: string | undefined): Record<string, unknown> =>
  JSON.parse(Buffer.from(part ?? "", "base64url").toString());

/** The keys in the database of a service, with their private halves. */
export async function ownKeys(service: TestService): Promise<OwnKey[]> {
  const seal = createSeal([secretKey]);
  const rows = await service.sql("SELECT kid, algorithm, private_jwe FROM signing_keys ORDER BY activates_at DESC");
  return Promise.all(
    rows.map(async (row) => {
      const kid = String(row["kid"]);
      const { privateJwk } = await seal.open(kid, String(row["private_jwe"]));
      const key = createPrivateKey({ key: privateJwk, format: "jwk" });
      return { kid, algorithm: toSigningAlgorithm(String(row["algorithm"])), privateJwk, key };
    }),
  );
}

/** Signs as the service does (RFC 7518, section 3; RFC 8037, section 3.1). */
export const signWith = (algorithm: SigningAlgorithm, input: Buffer, key: KeyObject): Buffer =>
  signInput(algorithm === "EdDSA" ? null : "sha256", input, { key, dsaEncoding: "ieee-p1363" });

/** Signs claims. `header` replaces members of the header, and `sign` the signature. */
export function signedWith(
  { kid, algorithm, key }: OwnKey,
  claims: object,
  { header = {}, sign }: { header?: object; sign?: (input: Buffer, key: KeyObject) => Buffer } = {},
): string {
  const input = `${encoded({ alg: algorithm, typ: "at+jwt", kid, ...header })}.${encoded(claims)}`;
  const signature = sign ? sign(Buffer.from(input), key) : signWith(algorithm, Buffer.from(input), key);
  return `${input}.${signature.toString("base64url")}`;
}
