/**
 * The use of refresh tokens. Each works once and has exactly one successor, however many ask at once; a copy that is
 * used later, or elsewhere, ends the session.
 */
import type { Audit } from "../audit/audit.ts";
import { networkOf, unknownNetwork } from "../networks.ts";
import type { Caller } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { digestOf, type PresentedToken, type RefreshSecrets } from "./refreshSecrets.ts";
import type { SessionGrant, SessionState, SessionStore, SessionTimes } from "./state.ts";

/** What a refresh comes to: the secret to be used next. */
export type Refreshed = { id: string; secret: string; grant: SessionGrant };

type Parts = {
  store: SessionStore;
  secrets: RefreshSecrets;
  times: SessionTimes;
  tokenSeconds: number;
  /** For how many seconds others have been able to see a transaction (src/database/commitHistory.ts). */
  secondsVisible(xid: string, startedSecondsAgo: number): number;
  /** Ends a session and its tokens, and forgets the networks that were learned from refreshes. */
  endStolenSession(userId: string, id: string): Promise<unknown>;
  networkChanged(user: Pick<Caller, "userId" | "username">, network: string, sessionId: string): void;
  audit: Audit;
};

/** Each try is lost to another refresh of the same session: more are not to be expected. */
const mostTries = 10;
/** So much longer than the grace a rotation can have been on its way until clients could know of it. */
const longestDelaySeconds = 300;

/** @returns what exchanges a refresh token for its successor. It throws `invalid-token`, `token-expired`, `token-revoked`, `token-reused` */
export function createRefresh({ store, secrets, times, tokenSeconds, ...parts }: Parts) {
  async function exchange(token: PresentedToken | undefined, address: string | undefined): Promise<Refreshed> {
    let state = token && (await store.find(token.sessionId, token.generation));
    // Not by its digest alone: whoever has a key that was retired, and the seed, can derive the token as well.
    if (!token || !state || !secrets.isGenuine(token, state.seed)) throw new Problem("invalid-token");
    requireLife(state);
    if (token.generation > state.generation) state = await catchUp(token, state, address);
    if (digestOf(token.secret).equals(state.digest)) return rotate(token, state, address);
    if (token.generation >= state.generation) throw new Problem("invalid-token");
    return repeat(token, state, address);
  }

  /**
   * The database has gone back: a failover has lost rotations that clients know of. The token proves that they were
   * made, and the session goes on from there. Later reuse of a lost token is still detected.
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
    // Several at once: the next try finds out who was first.
    if (generation > next.generation) throw new Problem("overloaded");
    return next;
  }

  async function rotate(token: PresentedToken, state: SessionState, address: string | undefined): Promise<Refreshed> {
    const { sessionId: id, generation } = token;
    const network = networkOf(address);
    const secret = secrets.derive(id, state.seed, generation + 1);
    const grant = await store.rotate(
      { id, generation, digest: state.digest, nextDigest: digestOf(secret), address, network },
      times,
      tokenSeconds,
    );
    // Without it somebody was faster: the same token in another hand, or the end of the session.
    if (!grant) return repeat(token, await requireLiveSession(token), address);
    parts.audit("session-refreshed", { userId: grant.userId, sessionId: id });
    const isAnother = network !== networkOf(state.address ?? undefined);
    if (isAnother && network !== unknownNetwork) parts.networkChanged(grant, network, id);
    return { id, secret, grant };
  }

  /**
   * A used token again: the same successor, where the answer may have been lost or another tab was faster. Otherwise
   * somebody has a copy of it.
   */
  async function repeat(token: PresentedToken, first: SessionState, address: string | undefined): Promise<Refreshed> {
    const { sessionId: id, generation } = token;
    let state = first;
    for (let tries = 0; tries < mostTries; tries += 1) {
      const { userId } = state;
      const distance = state.generation - generation;
      // Not rotated after all: the database has gone back, to a standby that had not got so far.
      if (distance < 1) throw new Problem("overloaded");
      const reason = reuseOf(state, networkOf(address));
      if (reason) {
        parts.audit("refresh-token-reused", { sessionId: id, userId, reason });
        await parts.endStolenSession(userId, id);
        throw new Problem("token-reused");
      }
      const secret =
        distance === 1
          ? secrets.deriveMatching(id, state.seed, state.generation, state.digest)
          : secrets.derive(id, state.seed, generation + 1);
      // Derived by an instance with another SECRET_KEY, while that is being changed: no theft.
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

  /** @returns why the second use of a token is that of a copy; `undefined` where it may be its owner's */
  function reuseOf({ secondsSinceUse, rotation }: SessionState, network: string): string | undefined {
    if (secondsSinceUse === null || !isInGrace(secondsSinceUse, rotation?.xid ?? null)) return "too-late";
    // An earlier version of the service kept no network.
    return rotation && rotation.network !== network ? "another-network" : undefined;
  }

  /** The grace begins when clients could know of the rotation: its commit may have taken long. */
  function isInGrace(secondsSinceUse: number, xid: string | null): boolean {
    if (secondsSinceUse < times.graceSeconds) return true;
    if (xid === null || secondsSinceUse > times.graceSeconds + longestDelaySeconds) return false;
    return parts.secondsVisible(xid, secondsSinceUse) < times.graceSeconds;
  }

  /** @throws {Problem} `token-revoked`, `token-expired` */
  async function requireLiveSession({ sessionId, generation }: PresentedToken): Promise<SessionState> {
    const state = await store.find(sessionId, generation);
    if (!state) throw new Problem("token-revoked");
    requireLife(state);
    return state;
  }

  return exchange;
}

/** @throws {Problem} `token-revoked`, `token-expired` */
function requireLife({ isEnded, isExpired }: SessionState): void {
  if (isEnded) throw new Problem("token-revoked");
  if (isExpired) throw new Problem("token-expired");
}
