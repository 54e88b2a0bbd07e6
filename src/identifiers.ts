/**
 * Identifiers. Each has its own type, so that they cannot be confused. The functions below make ids from the database, a token or
 * the command line. networks.ts makes networks, and users/username.ts makes usernames.
 */

declare const kind: unique symbol;
type Identifier<Kind extends string> = string & { readonly [kind]: Kind };

export type UserId = Identifier<"user">;
export type SessionId = Identifier<"session">;
/** The `jti` of a token. */
export type TokenId = Identifier<"token">;
/** The `kid` of a signing key. */
export type KeyId = Identifier<"key">;
export type ApiKeyId = Identifier<"api-key">;
/** `lkc_…`, or the URL of a client's metadata document. */
export type ClientId = Identifier<"client">;
export type ClientSecretId = Identifier<"client-secret">;
/** What a user allows a client. */
export type GrantId = Identifier<"grant">;
/** A username in the form that is compared and stored (RFC 8265, UsernameCaseMapped). See users/username.ts. */
export type CanonicalUsername = Identifier<"username">;
/** An IPv4 address, or a prefix of an IPv6 address. See networks.ts. */
export type Network = Identifier<"network">;

/** Stands for all tokens of all users. */
export type Everybody = "everybody";
/**
 * What is cached and has changed: the rights of a user, the scopes of a role, a registered API. An entry of the revocation list
 * with such a subject revokes no token. It makes every instance read the changed row again (revocations/cache.ts).
 */
export type ChangedSubject = `rights:${UserId}` | `role:${string}` | `api:${string}` | `client:${string}`;
/** The subject of a revocation: it revokes the credentials of the subject. */
export type RevocationSubject = UserId | SessionId | TokenId | KeyId | ApiKeyId | Everybody | ChangedSubject;

/** For a username from the database or a token, which is already canonical. */
export const storedUsername = (text: string): CanonicalUsername => text as CanonicalUsername;
export const userId = (text: string): UserId => text as UserId;
export const sessionId = (text: string): SessionId => text as SessionId;
export const tokenId = (text: string): TokenId => text as TokenId;
export const apiKeyId = (text: string): ApiKeyId => text as ApiKeyId;
export const clientId = (text: string): ClientId => text as ClientId;
export const clientSecretId = (text: string): ClientSecretId => text as ClientSecretId;
export const grantId = (text: string): GrantId => text as GrantId;
export const keyId = (text: string): KeyId => text as KeyId;
