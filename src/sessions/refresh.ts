/**
 * Refresh token rotation. Each token works once and has exactly one successor, even if requests are concurrent. If a used token
 * is sent again later, or from another network, it is a copy: the session ends.
 */

import type { TokenGrant } from "../access/grants.ts";
import type { Audit } from "../audit/audit.ts";
import type { ClientId, Network, SessionId, UserId } from "../identifiers.ts";
import { networkOf, unknownNetwork } from "../networks.ts";
import type { Caller } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { digestOf, type PresentedToken, type RefreshSecrets } from "./refreshSecrets.ts";
import type { SessionConstants, SessionGrant, SessionState, SessionStore, SessionTimes } from "./storeTypes.ts";

/** `secret`: of the next refresh token. */
type Exchanged = { id: SessionId; secret: string; grant: SessionGrant };
export type Refreshed = Exchanged & { tokenGrant: TokenGrant | undefined };

/** Decides what the next access token contains, before the refresh token is used. @throws {Problem} if it asks for too much */
export type GrantOf = (session: SessionConstants) => Promise<TokenGrant | undefined>;

/** What a client asks for with a refresh token. */
export type RefreshRequest = {
  /** Who presents it. `null`: the user's own program. */
  clientId: ClientId | null;
  /** The key of its DPoP proof. */
  proofKey: string | undefined;
  address: string | undefined;
  grantOf: GrantOf;
};

type Parts = {
  store: SessionStore;
  secrets: RefreshSecrets;
  /** By session. If they are known, one statement exchanges a token. */
  constants: Pick<Map<string, SessionConstants>, "get" | "set">;
  times: SessionTimes;
  tokenSeconds: number;
  /** How long a transaction has been visible to others, in seconds (src/database/commitHistory.ts). */
  secondsVisible(xid: string, startedSecondsAgo: number): number;
  confirmServer(server: string): Promise<void>;
  /** Ends a session, revokes its tokens, and forgets the networks that only refreshes have made known. */
  endStolenSession(userId: UserId, id: SessionId, reason: string): Promise<unknown>;
  onNetworkChange(user: Pick<Caller, "userId" | "username">, network: Network, sessionId: SessionId): void;
  audit: Audit;
};

/** An attempt fails only if a concurrent refresh of the same session comes first. */
const maxAttempts = 10;
/** The longest delay of a commit for which the grace period is extended. */
const maxCommitSeconds = 300;

/**
 * @returns a function that exchanges a refresh token. It throws `invalid-token`, `token-expired`, `token-revoked`,
 * `token-reused`, and what `grantOf` throws
 */
export function createRefresh({ store, secrets, constants, times, tokenSeconds, ...parts }: Parts) {
  async function exchange(
    token: PresentedToken | undefined,
    { address, grantOf, ...presenter }: RefreshRequest,
  ): Promise<Refreshed> {
    if (!token) throw new Problem("invalid-token");
    const session = constants.get(token.sessionId);
    // The digest is not enough: with a retired key and the seed, others can derive the token as well.
    if (session && !secrets.isGenuine(token, session.seed)) throw new Problem("invalid-token");
    if (session) {
      requirePresenter(session, presenter);
      const tokenGrant = await grantOf(session);
      const exchanged = await rotate(token, session.seed, address);
      if (exchanged) return { ...exchanged, tokenGrant };
    }
    const state = await findState(token);
    if (!state || !secrets.isGenuine(token, state.seed)) throw new Problem("invalid-token");
    requirePresenter(state, presenter);
    const { userId, clientId, refreshKey, audience, scopes } = state;
    // Copied, because the row's buffer is a slice of a larger one, which would stay in memory.
    const found = { userId, clientId, refreshKey, audience, scopes, seed: Uint8Array.from(state.seed) };
    constants.set(token.sessionId, found);
    requireLive(state);
    const tokenGrant = await grantOf(found);
    return { ...(await exchangeUnexpected(token, state, address)), tokenGrant };
  }

  /** Exchanges a token that may not be the expected one, or whose session was not in memory. */
  async function exchangeUnexpected(
    token: PresentedToken,
    found: SessionState,
    address: string | undefined,
  ): Promise<Exchanged> {
    const { generation, secret } = token;
    let state = found;
    if (generation > state.generation) state = await catchUp(token, state, address);
    if (digestOf(secret).equals(state.digest)) {
      const refreshed = await rotate(token, state.seed, address);
      // A concurrent request with the same token came first, or the session has ended.
      return refreshed ?? repeat(token, await requireLiveSession(token), address);
    }
    if (generation >= state.generation) throw new Problem("invalid-token");
    return repeat(token, state, address);
  }

  /**
   * Accepts a token that is ahead of the database, because a failover lost rotations that a client has seen. The token proves
   * that they were made, and the session continues from it. Later reuse of a lost token is still detected.
   */
  async function catchUp(
    token: PresentedToken,
    state: SessionState,
    address: string | undefined,
  ): Promise<SessionState> {
    const { sessionId: id, generation, secret } = token;
    const to = { generation, digest: digestOf(secret), network: networkOf(address) };
    const from = { id, generation: state.generation, digest: state.digest };
    if (await store.catchUp(from, to)) parts.audit("refresh-token-ahead", { sessionId: id, userId: state.userId });
    const next = await requireLiveSession(token);
    // A concurrent request came first. The client tries again.
    if (generation > next.generation) throw new Problem("overloaded");
    return next;
  }

  /** @returns `undefined` if the token is not the expected one, or the session has ended */
  async function rotate(
    { sessionId: id, generation, secret: presented }: PresentedToken,
    seed: Uint8Array,
    address: string | undefined,
  ): Promise<Exchanged | undefined> {
    const network = networkOf(address);
    const secret = secrets.derive(id, seed, generation + 1);
    const digests = { digest: digestOf(presented), nextDigest: digestOf(secret) };
    const rotated = await store.rotate({ id, generation, ...digests, address, network }, times, tokenSeconds);
    if (!rotated) return undefined;
    const { previousAddress, ...grant } = rotated;
    parts.audit("session-refreshed", { userId: grant.userId, sessionId: id });
    const isOtherNetwork = address !== previousAddress && network !== networkOf(previousAddress ?? undefined);
    if (isOtherNetwork && network !== unknownNetwork) parts.onNetworkChange(grant, network, id);
    return { id, secret, grant };
  }

  /**
   * Exchanges a token that was used before. Within the grace period the client gets the same successor again: the response may
   * have been lost, or another tab may have come first. Otherwise somebody has a copy of the token, and the session ends.
   */
  async function repeat(token: PresentedToken, first: SessionState, address: string | undefined): Promise<Exchanged> {
    const { sessionId: id, generation } = token;
    let state = first;
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      const { userId } = state;
      const distance = state.generation - generation;
      // A failover lost the rotation after it was read.
      if (distance < 1) throw new Problem("overloaded");
      const reason = reuseReason(state, networkOf(address));
      if (reason) {
        parts.audit("refresh-token-reused", { sessionId: id, userId, reason });
        await parts.endStolenSession(userId, id, reason);
        throw new Problem("token-reused");
      }
      const secret =
        distance === 1
          ? secrets.deriveMatching(id, state.seed, state.generation, state.digest)
          : secrets.derive(id, state.seed, generation + 1);
      // While SECRET_KEY is being changed, an instance with the other key derived it. This is not a theft.
      if (secret === undefined) throw new Problem("overloaded");
      const grant = await store.extend({ id, generation: state.generation }, tokenSeconds);
      if (grant) {
        parts.audit("refresh-token-repeated", { sessionId: id, userId });
        return { id, secret, grant };
      }
      state = await requireLiveSession(token);
    }
    throw new Problem("overloaded");
  }

  /** @returns the reason to regard a token as a copy; `undefined` if its owner may have sent it again */
  function reuseReason({ secondsSinceUse, rotation }: SessionState, network: string): string | undefined {
    if (secondsSinceUse === null || !isInGrace(secondsSinceUse, rotation?.xid ?? null)) return "too-late";
    // An earlier version stored no network.
    return rotation && rotation.network !== network ? "another-network" : undefined;
  }

  /** The grace period begins when the rotation becomes visible, because its commit may be delayed. */
  function isInGrace(secondsSinceUse: number, xid: string | null): boolean {
    if (secondsSinceUse < times.graceSeconds) return true;
    if (xid === null || secondsSinceUse > times.graceSeconds + maxCommitSeconds) return false;
    return parts.secondsVisible(xid, secondsSinceUse) < times.graceSeconds;
  }

  /** A primary that was replaced does not have the newest sessions. The user must not be signed out because of that. */
  async function findState({ sessionId, generation }: PresentedToken): Promise<SessionState | undefined> {
    const { state, server } = await store.find(sessionId, generation);
    if (!state) await parts.confirmServer(server);
    return state;
  }

  /** @throws {Problem} `token-revoked`, `token-expired` */
  async function requireLiveSession(token: PresentedToken): Promise<SessionState> {
    const state = await findState(token);
    if (!state) throw new Problem("token-revoked");
    requireLive(state);
    return state;
  }

  return exchange;
}

/** Rejects the token of another client, or of another key, without using it up. @throws {Problem} `invalid-token` */
function requirePresenter(
  session: Pick<SessionConstants, "clientId" | "refreshKey">,
  { clientId, proofKey }: Pick<RefreshRequest, "clientId" | "proofKey">,
): void {
  const isKeyMissing = session.refreshKey !== null && session.refreshKey !== proofKey;
  if (session.clientId !== clientId || isKeyMissing) throw new Problem("invalid-token");
}

/** @throws {Problem} `token-revoked`, `token-expired` */
function requireLive({ isEnded, isExpired }: SessionState): void {
  if (isEnded) throw new Problem("token-revoked");
  if (isExpired) throw new Problem("token-expired");
}
