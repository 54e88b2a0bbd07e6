/** Tokens that the service did not issue. */
import { generateKeyPairSync, sign } from "node:crypto";
import { type Json, jsonOf } from "./json.ts";

const foreignKey = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** The number of ways to forge a token. */
export const forgeries = 10;

/** Makes a forged token of a valid one. */
export function forged(token: string, how: number): string {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const encode = (json: unknown) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const claims = (part: string) => jsonOf(Buffer.from(part, "base64url").toString());
  const signed = (head: Json, body: Json) => {
    const text = `${encode(head)}.${encode(body)}`;
    const key = { key: foreignKey.privateKey, dsaEncoding: "ieee-p1363" } as const;
    return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
  };
  const jwk = foreignKey.publicKey.export({ format: "jwk" });
  const ways = [
    () => `${token}x`,
    () => `${header}.${payload}.${signature.slice(0, -1)}${signature.endsWith("A") ? "B" : "A"}`,
    () => `${header}.${payload}.`,
    () => `${encode({ alg: "none", typ: "at+jwt" })}.${payload}.`,
    () =>
      `${header}.${encode({ ...claims(payload), epoch: 99, sub: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b" })}.${signature}`,
    () => signed(claims(header), claims(payload)),
    () => signed({ ...claims(header), jwk }, { ...claims(payload), exp: 4_102_444_800 }),
    () => `${token}==`,
    () => `${header} .${payload}.${signature}`,
    () => token.toUpperCase(),
  ];
  return (ways[how % forgeries] as () => string)();
}
