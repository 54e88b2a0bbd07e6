/** The types of the store that redeems authorization codes. */
import type { ClientId, SessionId, UserId } from "../../identifiers.ts";
import type { ClientSessionValues, StartedClientSession } from "../../sessions/clients/clientSessions.ts";

/** What a client presents. `codeChallenge`: computed from the verifier. `redirectUri`: `null` if it is not sent. `proofKey`: of the DPoP proof, if any. */
export type PresentedCode = {
  digest: Buffer;
  clientId: ClientId;
  codeChallenge: string;
  redirectUri: string | null;
  proofKey: string | null;
};

/** A code that was redeemed before, and the session that it started. */
export type RedeemedCode = { userId: UserId; sessionId: SessionId };

/** Each method may throw the problem `database-unavailable`. */
export type CodeStore = {
  /** @returns the audience of a code of this client, which may have been redeemed; `undefined` if there is none */
  findAudience(digest: Buffer, clientId: ClientId): Promise<string | undefined>;
  /**
   * Redeems a code and starts its session. One of several concurrent calls succeeds.
   * @returns `undefined` if the code is not valid. It is unknown, belongs to another client, was redeemed or has expired. Or it
   * was ended with the user's tokens or with the session in which it was allowed. Or the client no longer has the redirect URI to
   * which it was sent, or the audience, or the API was deleted. Or the presented verifier, redirect URI or key is wrong
   */
  redeem(
    code: PresentedCode,
    session: ClientSessionValues,
  ): Promise<(StartedClientSession & { nonce: string | null }) | undefined>;
  /** @returns the session of a code that was redeemed before, if everything else that is presented is right */
  findRedeemed(code: PresentedCode): Promise<RedeemedCode | undefined>;
};
