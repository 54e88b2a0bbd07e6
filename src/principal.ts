/** The authenticated caller of an operation. */
import type { CanonicalUsername, KeyId, SessionId, TokenId, UserId } from "./identifiers.ts";

export type Principal = PasswordPrincipal | TokenPrincipal;

/** A user, as the credentials identify them. */
export type Caller = {
  userId: UserId;
  username: CanonicalUsername;
  /** The user's token epoch when the credentials were verified. A higher epoch revokes them. */
  epoch: number;
};

export type PasswordPrincipal = Caller & {
  proof: "password";
  /**
   * When the sign-in began that read the epoch after it had verified the password (`performance.now()`). `undefined` if the epoch
   * was read before, or the password was replaced meanwhile.
   */
  epochReadAfterMs: number | undefined;
  /**
   * Verifies the password again, because it may have been replaced. Does not count as a sign-in attempt.
   * @returns `undefined` where the password is no longer valid
   */
  verifyAgain(): Promise<PasswordPrincipal | undefined>;
};

export type TokenPrincipal = Caller & {
  proof: "token";
  /** `kid` of the key that signed the token. */
  keyId: KeyId;
  /** `jti` of the token. */
  tokenId: TokenId;
  /** `sid` of the token; `undefined` for a token without a session. */
  sessionId: SessionId | undefined;
  expiresAt: Date;
};
