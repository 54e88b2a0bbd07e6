/** The types of the store of authorizations. */
import type { ClientId, GrantId, SessionId, UserId } from "../../identifiers.ts";
import type { RequestedAccess } from "../requestedAccess.ts";

export type Decision = "allow" | "deny";

/** A user who is signed in, and may decide. */
export type SignedInUser = {
  userId: UserId;
  /** The user's token epoch when they signed in. A higher one ends the codes that they allow. */
  epoch: number;
  /** When the user authenticated. */
  authenticatedAt: Date;
  /** The session in which they decide. Its end ends the codes that they allow. `undefined` with a password. */
  decidingSessionId: SessionId | undefined;
  /** The scopes that the user's credential is limited to, and which it may allow. `undefined` without a limit. */
  limits?: ReadonlySet<string> | undefined;
};

/** A request, and what its user sees. */
export type SeenAuthorization = {
  id: string;
  userId: UserId;
  clientId: ClientId;
  clientVersion: number;
  access: RequestedAccess;
  expiresAt: Date;
};

/** A code that becomes valid if its request is allowed. */
export type NewCode = {
  /** The id of the grant, if the user has not allowed this client anything before. */
  grantId: GrantId;
  digest: Buffer;
  redirectUri: string;
  codeChallenge: string;
  nonce: string | undefined;
  dpopJkt: string | undefined;
};

/** Each method may throw the problem `database-unavailable`. */
export type AuthorizationStore = {
  /** @returns the scopes that the user allowed the client before; `undefined` without a grant */
  findGrantedScopes(userId: UserId, clientId: ClientId, audience: string): Promise<string[] | undefined>;
  /**
   * Records what a user sees, unless the request was decided.
   * @param mayChangeUser whether the user may be another one than the first who saw it
   * @returns whether the user may decide
   */
  see(seen: SeenAuthorization, mayChangeUser: boolean): Promise<boolean>;
  /**
   * Allows what the user has seen: adds to the grant, and issues the code. One of several concurrent decisions succeeds.
   * @returns what was decided about; `undefined` if the request was decided, seen by another user or not at all, or has expired; if
   * the client has changed since, or the credentials of the user were revoked
   */
  allow(id: string, user: SignedInUser, code: NewCode): Promise<RequestedAccess | undefined>;
  /**
   * Allows what the user need not see: the client is first-party, or the user has allowed all of it before.
   * @returns as `allow`; `undefined` also if the user has withdrawn the grant since
   */
  allowUnseen(
    authorization: SeenAuthorization & { reason: "first-party" | "granted-before" },
    user: SignedInUser,
    code: NewCode,
  ): Promise<RequestedAccess | undefined>;
  /** @returns as `allow` */
  deny(id: string, user: SignedInUser): Promise<RequestedAccess | undefined>;
  /** @returns when the user of a session authenticated; `undefined` if there is no such session */
  findAuthenticationTime(id: SessionId): Promise<Date | undefined>;
  /** Whether the user has made this decision before, and the code can still be redeemed. */
  hasDecided(decided: { id: string; userId: UserId; decision: Decision; digest: Buffer }): Promise<boolean>;
};
