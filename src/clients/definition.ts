/** Validates the definition of a client. */
import { createPublicKey } from "node:crypto";
import { requireDisplayable } from "../access/displayText.ts";
import { hasSecretPart } from "../lib/jwk.ts";
import { invalidRequest, Problem, type RequestError } from "../problems/problems.ts";
import { canActForUsers } from "./grantTypes.ts";
import { linkFault, redirectUriFault } from "./redirectUris.ts";
import type { ClientDefinition } from "./storeTypes.ts";

/** The maximum length of a `detail` in the contract. */
const maxDetailLength = 512;

/**
 * @param storedName that an earlier version may have accepted: it does not prevent other changes
 * @throws {Problem} `invalid-request` if the client could not be used, or would not be safe. Its pointers name members of the
 * contract
 */
export function requireUsable(client: ClientDefinition, storedName?: string): void {
  const { name, authentication, jwks, jwksUri } = client;
  if (name !== storedName) requireName(name);
  requireGrants(client);
  requireUris(client);
  const hasKeys = jwks !== null || jwksUri !== null;
  if (authentication === "private_key_jwt") {
    if (!hasKeys) throw invalid("#/jwks", "is required for private_key_jwt, unless jwks_uri is given");
    if (jwks && jwksUri !== null) throw invalid("#/jwks_uri", "must not be given together with jwks");
  } else if (hasKeys) {
    throw invalid(jwks ? "#/jwks" : "#/jwks_uri", "is for private_key_jwt only");
  }
  for (const [index, key] of (jwks?.keys ?? []).entries()) requireKey(key, `#/jwks/keys/${index}`);
}

function requireName(name: string): void {
  requireDisplayable(name, "#/name");
  if (name.trim() !== name) throw invalid("#/name", "has a space at an end");
}

function requireGrants({ authentication, grantTypes, redirectUris }: ClientDefinition): void {
  const pointer = "#/grant_types";
  if (authentication === "none" && grantTypes.includes("client_credentials"))
    throw invalid(pointer, "has client_credentials, which a public client cannot use");
  if (grantTypes.includes("authorization_code") && redirectUris.length === 0)
    throw invalid("#/redirect_uris", "is required for authorization_code");
  if (grantTypes.includes("refresh_token") && !canActForUsers(grantTypes))
    throw invalid(pointer, "has refresh_token without authorization_code or the device code");
}

function requireUris({ redirectUris, postLogoutRedirectUris, ...links }: ClientDefinition): void {
  const faults = [
    ...redirectUris.map((uri, index) => [`#/redirect_uris/${index}`, redirectUriFault(uri)] as const),
    ...postLogoutRedirectUris.map(
      (uri, index) => [`#/post_logout_redirect_uris/${index}`, redirectUriFault(uri)] as const,
    ),
    ["#/jwks_uri", linkFaultOf(links.jwksUri)] as const,
    ["#/logo_uri", linkFaultOf(links.logoUri)] as const,
    ["#/client_uri", linkFaultOf(links.clientUri)] as const,
    ["#/policy_uri", linkFaultOf(links.policyUri)] as const,
    ["#/tos_uri", linkFaultOf(links.tosUri)] as const,
  ];
  const [first, ...others] = faults.flatMap(([pointer, fault]): RequestError[] =>
    fault === undefined ? [] : [{ pointer, detail: fault.slice(0, maxDetailLength) }],
  );
  if (first) throw new Problem("invalid-request", { errors: [first, ...others.slice(0, maxErrors - 1)] });
}

/** The maximum number of errors that the contract allows in a problem. */
const maxErrors = 20;

const linkFaultOf = (uri: string | null): string | undefined => (uri === null ? undefined : linkFault(uri));

/** The algorithms of each key type. A key without `alg` is for all algorithms of its type. */
const keyAlgorithms: Record<string, readonly string[]> = {
  "ec prime256v1": ["ES256"],
  ed25519: ["Ed25519", "EdDSA"],
  rsa: ["RS256", "PS256"],
};

const minModulusBits = 2048;

function requireKey(key: Record<string, unknown>, pointer: string): void {
  if (hasSecretPart(key)) throw invalid(pointer, "is not a public key");
  const { type, curve, bits } = readKey(key) ?? {};
  const algorithms = keyAlgorithms[[type, curve].filter(Boolean).join(" ")];
  if (!algorithms) throw invalid(pointer, "is not a public key for ES256, Ed25519, RS256 or PS256");
  if (bits !== undefined && bits < minModulusBits) throw invalid(pointer, "is shorter than 2048 bits");
  if (key["alg"] !== undefined && !algorithms.includes(String(key["alg"])))
    throw invalid(`${pointer}/alg`, "does not fit the key");
}

function readKey(key: Record<string, unknown>) {
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails } = createPublicKey({ key, format: "jwk" });
    return { type, curve: asymmetricKeyDetails?.namedCurve, bits: asymmetricKeyDetails?.modulusLength };
  } catch {
    return undefined;
  }
}

const invalid = (pointer: string, detail: string): Problem => invalidRequest({ pointer, detail });
