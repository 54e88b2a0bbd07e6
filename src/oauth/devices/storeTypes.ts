/** The types of the store of device codes. */
import type { ClientId, GrantId, SessionId, UserId } from "../../identifiers.ts";
import type { ClientSessionValues, StartedClientSession } from "../../sessions/clients/clientSessions.ts";
import type { SignedInUser } from "../authorization/storeTypes.ts";
import type { UserCodeHmacs } from "./userCodes.ts";

export type NewDeviceCode = {
  digest: Buffer;
  userCodeHmac: Buffer;
  clientId: ClientId;
  audience: string;
  scopes: readonly string[];
  lifetimeSeconds: number;
  intervalSeconds: number;
};

/** What the user decides about. */
export type DeviceRequest = { clientId: ClientId; audience: string; scopes: readonly string[] };

export type DeviceDecision = SignedInUser & {
  decision: "allowed" | "denied";
  /** The requested scopes that the user has seen and has. No others are allowed, even if the user gets them later. */
  held: readonly string[];
  /** The id of the grant, if the user has not allowed this client anything before. */
  grantId: GrantId;
};

/**
 * `early`: pending, and polled again before the interval has passed. `redeemed`: redeemed a moment ago, so another poll may be
 * concurrent or follow a lost response. `replayed`: redeemed earlier.
 */
export type DeviceCodeState = "pending" | "early" | "expired" | "denied" | "allowed" | "redeemed" | "replayed";

export type PolledDeviceCode = {
  state: DeviceCodeState;
  audience: string;
  /** Once it is decided. */
  userId: UserId | null;
  /** Once it is redeemed. */
  sessionId: SessionId | null;
};

/** Each method may throw the problem `database-unavailable`. */
export type DeviceCodeStore = {
  /** @returns whether it was stored: `false` if the user code is in use, `undefined` if the client was deleted meanwhile */
  insert(code: NewDeviceCode): Promise<boolean | undefined>;
  /** @returns the request with this user code; `undefined` if there is none, it has expired or was decided */
  findPending(userCodes: UserCodeHmacs): Promise<DeviceRequest | undefined>;
  /**
   * Decides a request once, and adds what the user allows to the grant, in the same statement.
   * @returns the request; `undefined` as in `findPending`, and if the credentials of the user are no longer valid
   */
  decide(userCodes: UserCodeHmacs, decision: DeviceDecision): Promise<DeviceRequest | undefined>;
  /**
   * Records a poll. If a pending request is polled too early, its interval is extended permanently (RFC 8628, section 3.5).
   * @returns `undefined` if the client has no such code
   */
  poll(digest: Buffer, clientId: ClientId): Promise<PolledDeviceCode | undefined>;
  /**
   * Redeems an allowed code and starts its session. One of several concurrent calls succeeds.
   * @returns `undefined` if the code was redeemed, has expired or was ended with the user's tokens, if the client no longer has the
   * audience, or if the API was deleted
   */
  redeem(digest: Buffer, session: ClientSessionValues): Promise<StartedClientSession | undefined>;
};
