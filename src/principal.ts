/** The authenticated caller of an operation. */
import type { ApiKeyId, CanonicalUsername, ClientId, KeyId, SessionId, TokenId, UserId } from "./identifiers.ts";

export type Principal = UserPrincipal | ClientPrincipal;

/** A user, by one of the user's credentials. */
export type UserPrincipal = PasswordPrincipal | TokenPrincipal | ApiKeyPrincipal;

/** The user that the credentials identify. */
export type Caller = {
  userId: UserId;
  username: CanonicalUsername;
  /** The user's token epoch when the credentials were verified. A higher epoch revokes them. */
  epoch: number;
};

export type PasswordPrincipal = Caller & {
  proof: "password";
  /**
   * A time after which `epoch` was read (`performance.now()`): the start of the sign-in that read it after the verification.
   * `undefined` if the epoch was read before the verification, or the user was deleted meanwhile.
   */
  epochReadAfterMs: number | undefined;
  /**
   * Verifies the password again, because it may have been replaced. This does not count as a sign-in attempt.
   * @returns `undefined` if the password is no longer valid
   */
  verifyAgain(): Promise<PasswordPrincipal | undefined>;
};

/** A verified access token. */
type Token = {
  /** `kid` of the key that signed the token. */
  keyId: KeyId;
  /** `jti` of the token. */
  tokenId: TokenId;
  issuedAt: Date;
  expiresAt: Date;
  /** The thumbprint of the key that the token is bound to (RFC 9449, section 6). `undefined` for a bearer token. */
  boundTo: string | undefined;
};

/** The versions of what a token depends on, by the subjects of their revocation entries. A newer version revokes the token. */
type TokenEpochs = Readonly<Record<string, number>>;

/** The user of a verified access token. */
type TokenUser = Caller &
  Token & {
    /** The client that the token was issued to. */
    clientId: string;
    /** `sid` of the token; `undefined` for a token without a session. */
    sessionId: SessionId | undefined;
  };

export type TokenPrincipal = TokenUser & {
  proof: "token";
  /** The scopes that the token is limited to; `undefined`: all that the user has. */
  scopes: ReadonlySet<string> | undefined;
  /** `undefined` for a token that was not issued through a registered client. */
  epochs: TokenEpochs | undefined;
};

/** The user of a token for a registered API. It is no `Principal`: the token allows nothing at this service. */
export type ApiTokenPrincipal = TokenUser & {
  proof: "api-token";
  /** The audience of the API. */
  audience: string;
  /** What the token allows at the API. */
  scopes: ReadonlySet<string>;
  /** The roles of the user when the token was issued, without `default`. */
  roles: readonly string[];
  epochs: TokenEpochs;
};

/** A client that acts for itself, by an access token that it got with its own credentials (RFC 6749, section 4.4). */
export type ClientPrincipal = Token & {
  proof: "client-token";
  clientId: ClientId;
  /** The audience of the API that the token is for; `undefined`: this service. */
  audience: string | undefined;
  scopes: ReadonlySet<string>;
  /** As that of a user, of all clients together. A higher epoch revokes the token. */
  epoch: number;
  epochs: TokenEpochs;
};

/** The user or the client that an access token identifies. */
export type AnyTokenPrincipal = TokenPrincipal | ApiTokenPrincipal | ClientPrincipal;

export type ApiKeyPrincipal = Caller & {
  proof: "api-key";
  apiKeyId: ApiKeyId;
  /** The scopes that the key is limited to. */
  scopes: ReadonlySet<string>;
};

/** The user or the client of a principal, for the details of an audit event. */
export const identityOf = (principal: Principal | AnyTokenPrincipal): { userId: UserId } | { clientId: ClientId } =>
  principal.proof === "client-token" ? { clientId: principal.clientId } : { userId: principal.userId };
