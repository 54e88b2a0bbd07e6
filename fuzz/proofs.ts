/** Proofs of possession of a key (RFC 9449), right and wrong ones. */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import type { Proof } from "./plan.ts";

type Key = { privateKey: KeyObject; publicKey: KeyObject };
const [own, another]: Key[] = [0, 1].map(() => generateKeyPairSync("ec", { namedCurve: "P-256" }));
const usedId = randomUUID();

/**
 * Returns a proof for a request.
 * @param url without query
 * @param token the access token of the request, if it has one
 */
export function proofFor(
  proof: Proof,
  { method, url, token }: { method: string; url: string; token?: string },
): string {
  const { privateKey, publicKey } = (proof === "another key" ? another : own) as Key;
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    htm: proof === "another method" ? "PUT" : method,
    htu: proof === "another path" ? `${url}x` : url,
    jti: proof === "used" ? usedId : randomUUID(),
    iat: Math.floor(Date.now() / 1000) - (proof === "old" ? 600 : 0),
    ...(token !== undefined && { ath: createHash("sha256").update(token).digest("base64url") }),
  };
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: publicKey.export({ format: "jwk" }) };
  const text = `${encoded(header)}.${encoded(claims)}`;
  if (proof === "no signature") return `${text}.`;
  return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}
