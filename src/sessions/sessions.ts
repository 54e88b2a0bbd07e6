/**
 * Sessions: how somebody stays signed in for longer than an access token lives. Each refresh token
 * works once and has exactly one successor, however many ask at once; a copy that is used later
 * ends the session.
 */
import { v7 as uuidv7 } from "uuid";
import type { Audit } from "../audit/audit.ts";
import type { Caller, Client, PasswordPrincipal } from "../contract/binding.ts";
import { Problem } from "../contract/problems.ts";
import type { AccessTokens } from "../tokens/accessTokens.ts";
import type { Revocation } from "../tokens/revocations.ts";
import { digestOf, formatToken, type PresentedToken, parseToken, type RefreshSecrets } from "./refreshSecrets.ts";

export type Session = {
  id: string;
  createdAt: Date;
  lastUsedAt: Date;
  /** When it ends without a refresh, or in any case, whichever is first. */
  expiresAt: Date;
  userAgent: string | null;
  address: string | null;
};

/** What a refresh has to know of a session, as the database sees it at one moment. */
export type SessionState = {
  userId: string;
  seed: Buffer;
  generation: number;
  digest: Buffer;
  /** Whether it was ended, or its user's epoch is another one by now. */
  isEnded: boolean;
  isExpired: boolean;
  /** How many of the last rotations are so recent that their answers may have been lost. */
  generationsInGrace: number;
};

/** What a session grants after a change: for whom, and for how long. */
export type Standing = Caller & { refreshExpiresInSeconds: number };

export type SessionTimes = { idleSeconds: number; lifetimeSeconds: number; graceSeconds: number };

/** What is kept of sessions. All times are the database's: it is the one clock that all instances share. */
export type SessionStore = {
  /** @returns `undefined` where the user's epoch is another one by now */
  insert(
    session: { id: string; seed: Buffer; digest: Buffer; client: Client } & Caller,
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<Standing | undefined>;
  /**
   * Moves a live session from one generation to the next, if it is still the given one: of many at
   * once, one succeeds.
   */
  rotate(
    from: { id: string; generation: number; digest: Buffer },
    nextDigest: Buffer,
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<Standing | undefined>;
  /** Notes that another access token was issued in a generation of a live session. */
  extend(at: { id: string; generation: number }, tokenSeconds: number): Promise<Standing | undefined>;
  find(id: string, graceSeconds: number): Promise<SessionState | undefined>;
  /** Live sessions, the newest first, those before the cursor. */
  list(userId: string, limit: number, cursor: string | undefined): Promise<Session[]>;
  /** Ends a live session of the user. @returns the revocation of its tokens, kept in the same transaction */
  end(userId: string, id: string): Promise<Revocation | undefined>;
};

/** The tokens of a session, as a client gets them. */
export type SessionTokens = {
  id: string;
  userId: string;
  accessToken: string;
  refreshToken: string;
  refreshExpiresInSeconds: number;
  expiresInSeconds: number;
};

/** @throws {Problem} `token-revoked`, `token-expired` */
function requireLife({ isEnded, isExpired }: SessionState): void {
  if (isEnded) throw new Problem("token-revoked");
  if (isExpired) throw new Problem("token-expired");
}

/** Each try is lost to another refresh of the same session: more are not to be expected. */
const mostTries = 10;

export type Sessions = ReturnType<typeof createSessions>;

/** @param enforce puts a revocation into force on this instance */
export function createSessions(
  store: SessionStore,
  tokens: AccessTokens,
  secrets: RefreshSecrets,
  times: SessionTimes,
  enforce: (revocation: Revocation) => void,
  audit: Audit,
) {
  /** @throws {Problem} `invalid-credentials` where the password was changed meanwhile */
  async function create(principal: PasswordPrincipal, client: Client): Promise<SessionTokens> {
    const id = uuidv7();
    const seed = secrets.newSeed();
    const secret = secrets.derive(id, seed, 0);
    const session = { id, seed, digest: digestOf(secret), client, ...principal };
    const standing = await store.insert(session, times, tokens.ttlSeconds);
    if (!standing) throw new Problem("invalid-credentials");
    audit("session-created", client, { userId: principal.userId, sessionId: id });
    return grant(id, secret, standing);
  }

  /** @throws {Problem} `invalid-token`, `token-expired`, `token-revoked`, `token-reused` */
  async function refresh(text: string, client: Client): Promise<SessionTokens> {
    const token = parseToken(text);
    try {
      const tokens = await exchange(token, client);
      audit("session-refreshed", client, { userId: tokens.userId, sessionId: tokens.id });
      return tokens;
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        audit("refresh-refused", client, { sessionId: token?.sessionId, reason: error.slug });
      }
      throw error;
    }
  }

  async function exchange(token: PresentedToken | undefined, client: Client): Promise<SessionTokens> {
    const state = token && (await store.find(token.sessionId, times.graceSeconds));
    if (!state) throw new Problem("invalid-token");
    const isNext = digestOf(token.secret).equals(state.digest);
    // A later generation than the next is one of ours too, after a backup was restored.
    const isUsed = token.generation < state.generation && secrets.isGenuine(token, state.seed);
    if (!isNext && !isUsed) throw new Problem("invalid-token");
    requireLife(state);
    return isNext ? rotate(token, state, client) : repeat(token, state, client);
  }

  async function rotate(token: PresentedToken, { seed, digest }: SessionState, client: Client): Promise<SessionTokens> {
    const { sessionId: id, generation } = token;
    const successor = secrets.derive(id, seed, generation + 1);
    const standing = await store.rotate({ id, generation, digest }, digestOf(successor), times, tokens.ttlSeconds);
    // Without it somebody was faster: the same token in another hand, or the end of the session.
    return standing ? grant(id, successor, standing) : repeat(token, await living(id), client);
  }

  /**
   * A used token again: the same successor, where the answer may have been lost or another tab was
   * faster. Otherwise somebody has a copy of it.
   */
  async function repeat(token: PresentedToken, first: SessionState, client: Client): Promise<SessionTokens> {
    const { sessionId: id, generation } = token;
    let state = first;
    for (let tries = 0; tries < mostTries; tries += 1) {
      const distance = state.generation - generation;
      if (distance > state.generationsInGrace) {
        audit("refresh-token-reused", client, { sessionId: id, userId: state.userId });
        await finish(state.userId, id);
        throw new Problem("token-reused");
      }
      // Not rotated after all: the database has gone back, to a standby that had not got so far.
      if (distance < 1) throw new Problem("overloaded");
      const successor =
        distance === 1
          ? secrets.deriveMatching(id, state.seed, state.generation, state.digest)
          : secrets.derive(id, state.seed, generation + 1);
      // Derived by an instance with another SECRET_KEY, while that is being changed: no theft.
      if (successor === undefined) throw new Problem("overloaded");
      const standing = await store.extend({ id, generation: state.generation }, tokens.ttlSeconds);
      if (standing) return grant(id, successor, standing);
      state = await living(id);
    }
    throw new Problem("overloaded");
  }

  /** @throws {Problem} `token-revoked`, `token-expired` */
  async function living(id: string): Promise<SessionState> {
    const state = await store.find(id, times.graceSeconds);
    if (!state) throw new Problem("token-revoked");
    requireLife(state);
    return state;
  }

  async function grant(id: string, secret: string, standing: Standing): Promise<SessionTokens> {
    // No token outlives its session.
    const expiresInSeconds = Math.max(1, Math.min(tokens.ttlSeconds, standing.refreshExpiresInSeconds));
    return {
      id,
      userId: standing.userId,
      accessToken: await tokens.issue(standing, id, expiresInSeconds),
      expiresInSeconds,
      refreshToken: formatToken(id, secret),
      refreshExpiresInSeconds: standing.refreshExpiresInSeconds,
    };
  }

  /** Ends a session of the user, and its tokens. @returns whether there was such a one */
  async function end(userId: string, id: string, client: Client): Promise<boolean> {
    const hasEnded = await finish(userId, id);
    if (hasEnded) audit("session-ended", client, { userId, sessionId: id });
    return hasEnded;
  }

  async function finish(userId: string, id: string): Promise<boolean> {
    const revocation = await store.end(userId, id);
    if (revocation) enforce(revocation);
    return revocation !== undefined;
  }

  /** A page of the user's live sessions, and where the next one begins. */
  async function list(
    { userId }: Caller,
    limit: number,
    cursor: string | undefined,
  ): Promise<{ sessions: Session[]; nextCursor: string | undefined }> {
    const found = await store.list(userId, limit + 1, cursor);
    const sessions = found.slice(0, limit);
    return { sessions, nextCursor: found.length > limit ? sessions.at(-1)?.id : undefined };
  }

  return { create, refresh, list, end };
}
