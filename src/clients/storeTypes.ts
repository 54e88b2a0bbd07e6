/** The types of the store of clients. */
import type { ClientId, ClientSecretId } from "../identifiers.ts";
import type { LastUseStore } from "../lib/lastUses.ts";
import type { SecretDigest } from "../lib/secretText.ts";

/** How a client authenticates. `none`: a public client. `client_secret`: in the header or in the body. */
export type ClientAuthenticationMethod = "none" | "client_secret" | "private_key_jwt";

export type GrantType =
  | "authorization_code"
  | "client_credentials"
  | "refresh_token"
  | "urn:ietf:params:oauth:grant-type:device_code";

/** What is registered about a client. */
export type ClientDefinition = {
  name: string;
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
  /** The keys for `private_key_jwt`. */
  jwks: { keys: readonly Record<string, unknown>[] } | null;
  jwksUri: string | null;
  logoUri: string | null;
  clientUri: string | null;
  policyUri: string | null;
  tosUri: string | null;
};

/** How a client was registered. */
export type Registration = "administrator" | "dynamic" | "metadata-document";

type StoredClient = ClientDefinition & {
  id: ClientId;
  registration: Registration;
  /** When the document at the URL that is the id has to be fetched again; null for other clients. */
  documentExpiresAt: Date | null;
  /** Each change assigns a new value. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
};

/** A client, as it is cached to authenticate it. */
export type Client = StoredClient & { secretDigests: readonly SecretDigest[] };

export type ClientSecret = {
  id: ClientSecretId;
  lastFour: string;
  createdAt: Date;
  /** To the minute. */
  lastUsedAt: Date | null;
  lastUsedNetwork: string | null;
};

/** A client, as it is shown to administrators. */
export type RegisteredClient = StoredClient & {
  /** The newest first. */
  secrets: ClientSecret[];
};

/** Each method may throw the problem `database-unavailable`. */
export type ClientStore = LastUseStore & {
  find(id: ClientId): Promise<Client | undefined>;
};
