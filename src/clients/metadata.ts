/**
 * Client metadata (RFC 7591, section 2), from a dynamic registration or from the document at the URL of a client. Unknown members are
 * ignored. So are scopes and grants that such clients cannot have: the response of the registration says what is left.
 */
import { z } from "zod";
import { hasSecretPart } from "../lib/jwk.ts";
import { Problem } from "../problems/problems.ts";
import { requireUsable } from "./definition.ts";
import { deviceCodeGrant } from "./grantTypes.ts";
import { redirectUriFault } from "./redirectUris.ts";
import type { ClientAuthenticationMethod, ClientDefinition, GrantType } from "./storeTypes.ts";

/** The scopes and APIs that clients can have without an administrator. */
export type SelfRegistration = { scopes: readonly string[]; audiences: readonly string[] };

const uri = z.string().max(2048).optional();
const uris = z.array(z.string().max(2048)).max(20).default([]);
const token = z.string().max(128);
/** @param characters of base64url, unless others are given */
const part = (min: number, max: number, characters = "\\w-") =>
  z.string().regex(new RegExp(`^[${characters}]{${min},${max}}$`));

/** A key as the contract describes it. Other members are not stored: nothing uses them, and the database cannot store NUL. */
const publicKey = z
  .record(z.string(), z.unknown())
  .refine((key) => !hasSecretPart(key), "is not a public key")
  .pipe(
    z.object({
      kty: z.enum(["EC", "OKP", "RSA"]),
      alg: z.enum(["ES256", "Ed25519", "EdDSA", "RS256", "PS256"]).optional(),
      use: z.literal("sig").optional(),
      kid: part(1, 256, "!-~").optional(),
      crv: z.enum(["P-256", "Ed25519"]).optional(),
      x: part(43, 43).optional(),
      y: part(43, 43).optional(),
      n: part(342, 1_366).optional(),
      e: part(1, 8).optional(),
    }),
  );

const metadata = z.object({
  client_name: z.string().min(1).max(128).optional(),
  redirect_uris: uris,
  post_logout_redirect_uris: uris,
  grant_types: z.array(token).max(20).default(["authorization_code"]),
  response_types: z.array(token).max(20).default(["code"]),
  token_endpoint_auth_method: token.optional(),
  scope: z.string().max(8192).optional(),
  jwks: z.object({ keys: z.array(publicKey).min(1).max(10) }).optional(),
  jwks_uri: uri,
  logo_uri: uri,
  client_uri: uri,
  policy_uri: uri,
  tos_uri: uri,
});

export type ClientMetadata = z.infer<typeof metadata>;

/** Not `client_credentials`: such a client would act without the decision of a user or an administrator. */
const allowedGrants: readonly GrantType[] = ["authorization_code", "refresh_token", deviceCodeGrant];

/** @throws {Problem} `invalid-client-metadata` */
export function readMetadata(body: unknown): ClientMetadata {
  const { data, error } = metadata.safeParse(body);
  if (data) return data;
  const [issue] = error.issues;
  throw invalidMetadata(`${issue?.path.join(".") || "The body"}: ${issue?.message ?? "is not valid"}`);
}

type Choice = {
  /** By default, if the metadata has none. */
  authentication: ClientAuthenticationMethod;
  name: string;
  allowed: SelfRegistration;
};

/** @throws {Problem} `invalid-redirect-uri`, `invalid-client-metadata` */
export function definitionOf(given: ClientMetadata, { authentication, name, allowed }: Choice): ClientDefinition {
  const fault = given.redirect_uris.map(redirectUriFault).find((one) => one !== undefined);
  if (fault !== undefined) throw new Problem("invalid-redirect-uri", { detail: `A redirect URI ${fault}.` });
  if (!given.response_types.includes("code")) throw invalidMetadata("response_types: must include code");
  const definition: ClientDefinition = {
    name: given.client_name ?? name,
    authentication: authenticationOf(given.token_endpoint_auth_method) ?? authentication,
    grantTypes: allowedGrants.filter((grant) => given.grant_types.includes(grant)),
    redirectUris: given.redirect_uris,
    postLogoutRedirectUris: given.post_logout_redirect_uris,
    scopes: scopesOf(given.scope, allowed.scopes),
    audiences: allowed.audiences,
    isFirstParty: false,
    jwks: given.jwks ?? null,
    jwksUri: given.jwks_uri ?? null,
    logoUri: given.logo_uri ?? null,
    clientUri: given.client_uri ?? null,
    policyUri: given.policy_uri ?? null,
    tosUri: given.tos_uri ?? null,
  };
  if (definition.grantTypes.length === 0) throw invalidMetadata("grant_types: has none that such a client can have");
  try {
    requireUsable(definition);
  } catch (error) {
    if (!(error instanceof Problem) || error.slug !== "invalid-request") throw error;
    const [first] = error.body("").errors ?? [];
    const member = first && "pointer" in first ? first.pointer.slice(2) : "The metadata";
    throw invalidMetadata(`${member === "name" ? "client_name" : member}: ${first?.detail ?? "is not valid"}`);
  }
  return definition;
}

const methods: Record<string, ClientAuthenticationMethod> = {
  none: "none",
  client_secret_basic: "client_secret",
  client_secret_post: "client_secret",
  private_key_jwt: "private_key_jwt",
};

function authenticationOf(method: string | undefined): ClientAuthenticationMethod | undefined {
  if (method === undefined) return undefined;
  const found = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (!found) throw invalidMetadata("token_endpoint_auth_method: is not supported");
  return found;
}

const scopesOf = (scope: string | undefined, allowed: readonly string[]): readonly string[] => {
  if (scope === undefined) return allowed;
  const wanted = new Set(scope.split(" "));
  return allowed.filter((one) => wanted.has(one));
};

export const invalidMetadata = (detail: string): Problem =>
  new Problem("invalid-client-metadata", { detail: detail.slice(0, 512) });
