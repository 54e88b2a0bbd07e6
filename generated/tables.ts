// Generated from the migrations by `npm run generate:schema`. Do not edit.
import type { Knex } from "knex";

export type ApiKeySecretsRow = {
  digest: Buffer;
  key_id: string;
  last_four: string;
  created_at: Date;
  expires_at: Date | null;
  last_used_at: Date | null;
  last_used_network: string | null;
};

export type ApiKeysRow = {
  id: string;
  user_id: string;
  name: string;
  scopes: string[];
  created_at: Date;
  expires_at: Date | null;
};

export type ApisRow = {
  audience: string;
  name: string;
  scopes: unknown;
  token_ttl_seconds: number | null;
  contract: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
};

export type AuditEventsRow = {
  id: string;
  occurred_at: Date;
  event: string;
  actor_id: string | null;
  actor_name: string | null;
  subject_id: string | null;
  subject_name: string | null;
  address: string | null;
  request_id: string | null;
  details: unknown;
};

export type AuthorizationCodesRow = {
  digest: Buffer;
  client_id: string;
  user_id: string;
  user_epoch: number;
  grant_id: string;
  redirect_uri: string;
  code_challenge: string;
  nonce: string | null;
  audience: string;
  scopes: string[];
  authenticated_at: Date;
  deciding_session_id: string | null;
  dpop_jkt: string | null;
  expires_at: Date;
  redeemed_at: Date | null;
  session_id: string | null;
};

export type AuthorizationsRow = {
  id: string;
  user_id: string;
  client_id: string;
  client_version: number;
  audience: string;
  scopes: string[];
  decision: string | null;
  expires_at: Date;
};

export type ClientSecretsRow = {
  id: string;
  client_id: string;
  digest: Buffer;
  last_four: string;
  created_at: Date;
  last_used_at: Date | null;
  last_used_network: string | null;
};

export type ClientsRow = {
  id: string;
  name: string;
  registration: string;
  authentication: string;
  grant_types: string[];
  redirect_uris: string[];
  post_logout_redirect_uris: string[];
  scopes: string[];
  audiences: string[];
  is_first_party: boolean;
  jwks: unknown | null;
  jwks_uri: string | null;
  logo_uri: string | null;
  client_uri: string | null;
  policy_uri: string | null;
  tos_uri: string | null;
  document_expires_at: Date | null;
  version: number;
  created_at: Date;
  updated_at: Date;
  last_used_at: Date | null;
};

export type DeviceCodesRow = {
  digest: Buffer;
  user_code_hmac: Buffer;
  client_id: string;
  audience: string;
  scopes: string[];
  created_at: Date;
  expires_at: Date;
  interval_seconds: number;
  last_polled_at: Date | null;
  user_id: string | null;
  user_epoch: number | null;
  grant_id: string | null;
  decision: string | null;
  authenticated_at: Date | null;
  redeemed_at: Date | null;
  session_id: string | null;
};

export type EpochFloorRow = {
  only_row: boolean;
  minimum_epoch: number;
};

export type FamiliarNetworksRow = {
  user_id: string;
  network: string;
  last_seen_at: Date;
  key: string | null;
  by_password: boolean;
};

export type GrantsRow = {
  id: string;
  user_id: string;
  client_id: string;
  audience: string;
  scopes: string[];
  created_at: Date;
  updated_at: Date;
};

export type PasswordFailuresRow = {
  key: string;
  failures: number;
  expires_at: Date;
};

export type RevocationsRow = {
  id: string;
  subject: string;
  minimum_epoch: number;
  expires_at: Date;
  xid: string;
  is_unique: boolean;
};

export type RolesRow = {
  name: string;
  description: string;
  scopes: string[];
  version: number;
  created_at: Date;
  updated_at: Date;
};

export type SessionsRow = {
  id: string;
  user_id: string;
  user_epoch: number;
  generation: number;
  refresh_digest: Buffer;
  seed: Buffer;
  recent_rotations: Date[];
  created_at: Date;
  last_used_at: Date;
  idle_expires_at: Date;
  expires_at: Date;
  tokens_expire_at: Date;
  ended_at: Date | null;
  user_agent: string | null;
  address: string | null;
  rotations: string[];
  listed_used_at: Date | null;
  listed_idle_expires_at: Date | null;
  audience: string | null;
  scopes: string[] | null;
  client_id: string | null;
  grant_id: string | null;
  is_browser: boolean;
  authenticated_at: Date | null;
  dpop_jkt: string | null;
};

export type SigningKeysRow = {
  kid: string;
  private_jwe: string;
  created_at: Date;
  activates_at: Date;
  revoked_at: Date | null;
  algorithm: string;
};

export type ThrottleRow = {
  key: string;
  points: number;
  expire: string | null;
  pending: number;
};

export type TokenLifetimesRow = {
  seconds: number;
  issued_until: Date;
};

export type UsedProofsRow = {
  digest: Buffer;
  expires_at: Date;
};

export type UserRolesRow = {
  user_id: string;
  role: string;
};

export type UsersRow = {
  id: string;
  username: string;
  password_hash: string;
  token_epoch: number;
  created_at: Date;
  password_epoch: number;
  blocked_at: Date | null;
  version: number;
};

type Optional<Row, Names extends keyof Row> = Omit<Row, Names> & Partial<Pick<Row, Names>>;

/** Types the query builder of Knex. */
declare module "knex/types/tables.js" {
  interface Tables {
    api_key_secrets: Knex.CompositeTableType<ApiKeySecretsRow, Optional<ApiKeySecretsRow, "created_at" | "expires_at" | "last_used_at" | "last_used_network">>;
    api_keys: Knex.CompositeTableType<ApiKeysRow, Optional<ApiKeysRow, "created_at" | "expires_at">>;
    apis: Knex.CompositeTableType<ApisRow, Optional<ApisRow, "scopes" | "token_ttl_seconds" | "contract" | "version" | "created_at" | "updated_at">>;
    audit_events: Knex.CompositeTableType<AuditEventsRow, Optional<AuditEventsRow, "id" | "occurred_at" | "actor_id" | "actor_name" | "subject_id" | "subject_name" | "address" | "request_id" | "details">>;
    authorization_codes: Knex.CompositeTableType<AuthorizationCodesRow, Optional<AuthorizationCodesRow, "nonce" | "deciding_session_id" | "dpop_jkt" | "redeemed_at" | "session_id">>;
    authorizations: Knex.CompositeTableType<AuthorizationsRow, Optional<AuthorizationsRow, "decision">>;
    client_secrets: Knex.CompositeTableType<ClientSecretsRow, Optional<ClientSecretsRow, "created_at" | "last_used_at" | "last_used_network">>;
    clients: Knex.CompositeTableType<ClientsRow, Optional<ClientsRow, "registration" | "redirect_uris" | "post_logout_redirect_uris" | "scopes" | "audiences" | "is_first_party" | "jwks" | "jwks_uri" | "logo_uri" | "client_uri" | "policy_uri" | "tos_uri" | "document_expires_at" | "version" | "created_at" | "updated_at" | "last_used_at">>;
    device_codes: Knex.CompositeTableType<DeviceCodesRow, Optional<DeviceCodesRow, "created_at" | "last_polled_at" | "user_id" | "user_epoch" | "grant_id" | "decision" | "authenticated_at" | "redeemed_at" | "session_id">>;
    epoch_floor: Knex.CompositeTableType<EpochFloorRow, Optional<EpochFloorRow, "only_row">>;
    familiar_networks: Knex.CompositeTableType<FamiliarNetworksRow, Optional<FamiliarNetworksRow, "last_seen_at" | "key" | "by_password">>;
    grants: Knex.CompositeTableType<GrantsRow, Optional<GrantsRow, "created_at" | "updated_at">>;
    password_failures: Knex.CompositeTableType<PasswordFailuresRow, PasswordFailuresRow>;
    revocations: Knex.CompositeTableType<RevocationsRow, Optional<RevocationsRow, "id" | "xid" | "is_unique">>;
    roles: Knex.CompositeTableType<RolesRow, Optional<RolesRow, "description" | "scopes" | "version" | "created_at" | "updated_at">>;
    sessions: Knex.CompositeTableType<SessionsRow, Optional<SessionsRow, "generation" | "recent_rotations" | "created_at" | "last_used_at" | "ended_at" | "user_agent" | "address" | "rotations" | "listed_used_at" | "listed_idle_expires_at" | "audience" | "scopes" | "client_id" | "grant_id" | "is_browser" | "authenticated_at" | "dpop_jkt">>;
    signing_keys: Knex.CompositeTableType<SigningKeysRow, Optional<SigningKeysRow, "created_at" | "activates_at" | "revoked_at" | "algorithm">>;
    throttle: Knex.CompositeTableType<ThrottleRow, Optional<ThrottleRow, "points" | "expire" | "pending">>;
    token_lifetimes: Knex.CompositeTableType<TokenLifetimesRow, TokenLifetimesRow>;
    used_proofs: Knex.CompositeTableType<UsedProofsRow, UsedProofsRow>;
    user_roles: Knex.CompositeTableType<UserRolesRow, UserRolesRow>;
    users: Knex.CompositeTableType<UsersRow, Optional<UsersRow, "token_epoch" | "created_at" | "password_epoch" | "blocked_at" | "version">>;
  }
}
