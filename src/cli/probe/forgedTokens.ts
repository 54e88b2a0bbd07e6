/** Tokens that no service may accept. None of them is signed by the issuer. */
import { createHmac, createPublicKey, generateKeyPairSync, type JsonWebKey, randomUUID, sign } from "node:crypto";

export type Forged = { check: "malformed-token" | "forged-token" | "alg-none" | "public-key-as-secret"; token: string };

type Values = {
  issuer: string;
  audience: string;
  scopes: readonly string[];
  /** The public keys of the issuer, as far as they are known. */
  keys: readonly JsonWebKey[];
  /** A token that the service accepts. Its claims are copied. */
  real: string | undefined;
};

/** @returns tokens with the claims of a real one, or with claims as Latchkey issues them */
export function forgedTokens({ issuer, audience, scopes, keys, real }: Values): Forged[] {
  const claims = claimsOf(real) ?? {
    iss: issuer,
    aud: audience,
    sub: randomUUID(),
    client_id: "latchkey",
    username: "admin",
    iat: nowSeconds(),
    exp: nowSeconds() + 600,
    jti: randomUUID(),
    epoch: 0,
    epochs: {},
    roles: ["administrator"],
    scope: scopes.join(" "),
  };
  const typ = "at+jwt";
  const kid = String(keys[0]?.["kid"] ?? randomUUID());
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signed = (header: object) =>
    join(header, claims, (input) => sign("sha256", input, { key: privateKey, dsaEncoding: "ieee-p1363" }));
  const unsigned = (alg: string) => join({ alg, typ, kid }, claims, () => Buffer.alloc(0));
  return [
    { check: "malformed-token", token: "garbage" },
    { check: "malformed-token", token: "a.b.c" },
    { check: "forged-token", token: signed({ alg: "ES256", typ, kid }) },
    { check: "forged-token", token: signed({ alg: "ES256", typ, kid, jwk: publicKey.export({ format: "jwk" }) }) },
    { check: "forged-token", token: signed({ alg: "ES256", typ: "JWT" }) },
    ...["none", "None"].map((alg) => ({ check: "alg-none" as const, token: unsigned(alg) })),
    ...keys.slice(0, maxKeys).map((key) => ({
      check: "public-key-as-secret" as const,
      token: join({ alg: "HS256", typ, kid: key["kid"] }, claims, (input) =>
        createHmac("sha256", createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" }))
          .update(input)
          .digest(),
      ),
    })),
    ...(real !== undefined && claimsOf(real)
      ? [{ check: "forged-token" as const, token: withChangedClaims(real) }]
      : []),
  ];
}

const maxKeys = 3;

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function join(header: object, claims: object, signature: (input: Buffer) => Buffer): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signature(Buffer.from(input)).toString("base64url")}`;
}

/** @returns the claims of a token, which is not verified; `undefined` for anything else, such as an API key */
export function claimsOf(token: string | undefined): Record<string, unknown> | undefined {
  const [, payload] = token?.split(".") ?? [];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString());
    return typeof claims === "object" && claims !== null ? { ...claims } : undefined;
  } catch {
    return undefined;
  }
}

/** The header and the signature of a real token around other claims. */
function withChangedClaims(real: string): string {
  const [header = "", , signature = ""] = real.split(".");
  return `${header}.${encode({ ...claimsOf(real), sub: randomUUID() })}.${signature}`;
}
