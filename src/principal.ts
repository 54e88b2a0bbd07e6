/** The authenticated caller of an operation. */
import type { ApiKeyId, CanonicalUsername, KeyId, SessionId, TokenId, UserId } from "./identifiers.ts";

export type Principal = PasswordPrincipal | TokenPrincipal | ApiKeyPrincipal;

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

/** The user of a verified access token. */
type TokenUser = Caller & {
  /** `kid` of the key that signed the token. */
  keyId: KeyId;
  /** `jti` of the token. */
  tokenId: TokenId;
  /** `sid` of the token; `undefined` for a token without a session. */
  sessionId: SessionId | undefined;
  issuedAt: Date;
  expiresAt: Date;
};

export type TokenPrincipal = TokenUser & {
  proof: "token";
  /** The scopes that the token is limited to; `undefined`: all that the user has. */
  scopes: ReadonlySet<string> | undefined;
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
  /** The versions of what `scopes` depends on, by the subjects of their revocation entries. A newer version revokes the token. */
  epochs: Readonly<Record<string, number>>;
};

export type AnyTokenPrincipal = TokenPrincipal | ApiTokenPrincipal;

export type ApiKeyPrincipal = Caller & {
  proof: "api-key";
  apiKeyId: ApiKeyId;
  /** The scopes that the key is limited to. */
  scopes: ReadonlySet<string>;
};
