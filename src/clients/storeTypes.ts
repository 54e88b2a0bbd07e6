/** The types of the store of clients. */
import type { ClientId } from "../identifiers.ts";
import type { LastUseStore } from "../lib/lastUses.ts";
import type { SecretDigest } from "../lib/secretText.ts";

/** How a client authenticates. `none`: a public client. `client_secret`: in the header or in the body. */
export type ClientAuthenticationMethod = "none" | "client_secret" | "private_key_jwt";

export type GrantType =
  | "authorization_code"
  | "client_credentials"
  | "refresh_token"
  | "urn:ietf:params:oauth:grant-type:device_code";

/** A registered client. */
export type Client = {
  id: ClientId;
  name: string;
  registration: "administrator" | "dynamic" | "metadata-document";
  authentication: ClientAuthenticationMethod;
  grantTypes: readonly GrantType[];
  redirectUris: readonly string[];
  postLogoutRedirectUris: readonly string[];
  /** What it may ask for: scopes of this service and of APIs. */
  scopes: readonly string[];
  /** The APIs that it may get tokens for, besides this service. */
  audiences: readonly string[];
  /** Users are not asked for their consent. */
  isFirstParty: boolean;
  secretDigests: readonly SecretDigest[];
  /** Of `private_key_jwt`. */
  jwks: { keys: readonly Record<string, unknown>[] } | null;
  jwksUri: string | null;
  logoUri: string | null;
  clientUri: string | null;
  policyUri: string | null;
  tosUri: string | null;
  /** Drawn anew by each change. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
};

/** Each method may throw the problem `database-unavailable`. */
export type ClientStore = LastUseStore & {
  find(id: ClientId): Promise<Client | undefined>;
};
