/**
 * The current session: its tokens, their refresh, and its end. A request belongs to the session that was current when it was
 * made, and never gets the token of another session.
 */
import type { Client } from "openapi-fetch";
import type { components, paths } from "./generated/openapi.ts";
import type { ProblemOf } from "./problems.ts";
import type { Fetch } from "./retry.ts";

/** Stores the refresh token: `localStorage`, or anything with these methods, synchronous or with promises. */
export type TokenStorage = {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
};

/** The problem with which the service rejected a refresh token. */
export type RefreshRefusal = Extract<ProblemOf<"refreshToken">, { status?: 400 | 401 }>;

/** A session of this client. Its identity is that of the object. */
export type Session = {
  /** `undefined` until a session is found in the storage. */
  id: string | undefined;
  /** The last token for each audience and scope, the oldest first. */
  tokens: Map<string, AccessToken>;
  /** The refreshes in progress, one for each audience and scope, which all callers share. */
  renewals: Map<string, Promise<Renewed>>;
  /** Settles after the last refresh. A refresh token works once, so they follow each other. */
  lastRefresh: Promise<unknown>;
};

type AccessToken = { token: string; refreshAtMs: number };

/** What a token is for. */
export type TokenLimits = { audience?: string | undefined; scope?: string | undefined };

/** For Latchkey itself, with all scopes of the session. */
export const unlimited: TokenLimits = {};

/** A token; `undefined` if there is no session; or a function that returns the response of a service that cannot refresh now. */
type Renewed = string | undefined | (() => Response);

type Tokens = components["schemas"]["SessionTokens"];

type SessionParts = {
  /** Sends requests without a token. */
  api: Client<paths>;
  /** Retries any request. For refreshes. */
  retryingFetch: Fetch;
  storage: TokenStorage;
  /** The key of the refresh token in the storage. */
  storageKey: string;
  /** Called once for each session that is used. */
  onSignedIn: () => void;
  /** Called once for each session that ends. */
  onSignedOut: (refusal?: RefreshRefusal) => void;
};

/** A refresh may be repeated for this time (the default of `REFRESH_GRACE_SECONDS`). */
const refreshTimeoutMs = 10_000;

/** A token is refreshed this long before it expires, or after nine tenths of its lifetime: it must not expire on its way. */
const refreshBeforeMs = 30_000;

/** The tokens that a session remembers. */
const maxTokens = 100;

export function createSessions({ api, retryingFetch, storage, storageKey, onSignedIn, onSignedOut }: SessionParts) {
  let current: Session | undefined = newSession(undefined);
  let lastStep: Promise<unknown> = Promise.resolve();

  /** Runs steps on the storage one after the other, so that a slow write cannot overwrite a later one. */
  function inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = lastStep.then(step);
    lastStep = done.catch(() => {});
    return done;
  }

  /** Makes a new session current, then ends the sessions that it replaces, in memory and in the storage. */
  async function begin(tokens: Tokens): Promise<void> {
    const [replaced, stored] = await inTurn(async () => {
      const before = [current, await storage.getItem(storageKey)] as const;
      current = newSession(tokens.id);
      remember(current, unlimited, tokens);
      await storage.setItem(storageKey, tokens.refresh_token);
      return before;
    });
    const isStored = stored !== null && sessionIdOf(stored) === replaced?.id;
    onSignedIn();
    // A failure does not matter: an old session that cannot be ended expires.
    await Promise.allSettled([
      end(replaced?.tokens.get(keyOf(unlimited))?.token, isStored ? stored : null),
      isStored ? undefined : end(undefined, stored),
    ]);
  }

  /** Ends a session with its access token, or with a new one if that is no longer accepted. */
  async function end(token: string | undefined, refreshToken: string | null): Promise<void> {
    const signal = AbortSignal.timeout(refreshTimeoutMs);
    const revoke = (bearer: string) =>
      api.DELETE("/api/token", { headers: { Authorization: `Bearer ${bearer}` }, signal });
    if (token !== undefined && (await revoke(token)).response.ok) return;
    if (refreshToken === null) return;
    const { data } = await sendRefresh(refreshToken, unlimited, signal);
    if (data) await revoke(data.access_token);
  }

  /** Removes a session, unless another one has replaced it. The stored token of another session remains. */
  async function forget(session: Session | undefined, refusal?: RefreshRefusal): Promise<void> {
    const isOver = await inTurn(async () => {
      if (!session || session !== current || session.id === undefined) return false;
      current = undefined;
      const stored = await storage.getItem(storageKey);
      if (stored !== null && sessionIdOf(stored) === session.id) await storage.removeItem(storageKey);
      return true;
    });
    if (isOver) onSignedOut(refusal);
  }

  /** The token of a session. Refreshes if the last one has expired, or is the one that was rejected. */
  async function token(
    session: Session | undefined,
    limits: TokenLimits = unlimited,
    rejected?: string | undefined,
  ): Promise<Renewed> {
    if (!session || session !== current) return undefined;
    const known = session.tokens.get(keyOf(limits));
    const isFresh = known && known.token !== rejected && Date.now() < known.refreshAtMs;
    return isFresh ? known.token : renew(session, limits, known?.token);
  }

  /**
   * A token of the current session for another service. That service does not tell this client that the session has ended in
   * another tab, but the storage does.
   */
  async function tokenToSend(limits: TokenLimits, rejected: string | undefined): Promise<Renewed> {
    const session = current;
    const stored = await inTurn(async () => storage.getItem(storageKey));
    if (session?.id !== undefined && (stored === null || sessionIdOf(stored) !== session.id)) await forget(session);
    return token(session, limits, rejected);
  }

  /** A token of the session other than the rejected one. Concurrent callers share one refresh. */
  async function renew(
    session: Session | undefined,
    limits: TokenLimits,
    rejected: string | undefined,
  ): Promise<Renewed> {
    if (!session) return undefined;
    const key = keyOf(limits);
    const known = session.tokens.get(key);
    if (known && known.token !== rejected) return known.token;
    const inProgress = session.renewals.get(key);
    if (inProgress !== undefined) return inProgress;
    const renewal = session.lastRefresh
      .then(() => exclusively(storageKey, () => refresh(session, limits)))
      .finally(() => session.renewals.delete(key));
    session.renewals.set(key, renewal);
    session.lastRefresh = renewal.catch(() => {});
    return renewal;
  }

  async function refresh(session: Session, limits: TokenLimits): Promise<Renewed> {
    const refreshToken = await storage.getItem(storageKey);
    if (session !== current) return undefined;
    if (refreshToken === null || sessionIdOf(refreshToken) !== (session.id ?? sessionIdOf(refreshToken))) {
      await forget(session); // another tab has signed out or signed in
      return undefined;
    }
    const isFound = session.id === undefined;
    session.id = sessionIdOf(refreshToken);
    const { data, error, response } = await sendRefresh(refreshToken, limits, AbortSignal.timeout(refreshTimeoutMs));
    const isStored = await inTurn(async () => {
      const stored = await storage.getItem(storageKey);
      if (session !== current || (stored !== refreshToken && stored !== data?.refresh_token)) return false;
      if (!data) return true;
      remember(session, limits, data);
      await storage.setItem(storageKey, data.refresh_token);
      return true;
    });
    // Meanwhile this tab or another one signed in or out, or refreshed: the stored token decides.
    if (!isStored) return refresh(session, limits);
    if (data) {
      if (isFound) onSignedIn();
      return data.access_token;
    }
    if (!isRefusal(error, limits)) return () => new Response(JSON.stringify(error), response);
    await forget(session, error);
    return undefined;
  }

  function sendRefresh(refreshToken: string, { audience, scope }: TokenLimits, signal: AbortSignal) {
    const limits = { ...(audience !== undefined && { audience }), ...(scope !== undefined && { scope }) };
    return api.POST("/api/token", { body: { refresh_token: refreshToken, ...limits }, fetch: retryingFetch, signal });
  }

  const exists = async (): Promise<boolean> => current !== undefined && (await storage.getItem(storageKey)) !== null;

  return { current: () => current, exists, begin, forget, token, tokenToSend, renew };
}

type Locks = { request<T>(name: string, task: () => Promise<T>): Promise<T> };

/**
 * Runs a task in one tab at a time, if the browser has Web Locks. Two tabs that use one refresh token concurrently, from two
 * addresses, would look like an owner and a thief.
 */
function exclusively<T>(name: string, task: () => Promise<T>): Promise<T> {
  const { navigator } = globalThis as { navigator?: { locks?: Locks } };
  if (!navigator?.locks) return task();
  let hasBegun = false;
  const locked = () => {
    hasBegun = true;
    return task();
  };
  return navigator.locks.request(name, locked).catch((error: unknown) => {
    if (hasBegun) throw error;
    return task(); // a document without an origin, such as a sandboxed frame, may not use its locks
  });
}

const newSession = (id: string | undefined): Session => ({
  id,
  tokens: new Map(),
  renewals: new Map(),
  lastRefresh: Promise.resolve(),
});

const keyOf = ({ audience = "", scope }: TokenLimits): string => JSON.stringify([audience, scope]);

function remember({ tokens }: Session, limits: TokenLimits, { access_token, expires_in }: Tokens): void {
  const lifetimeMs = expires_in * 1000;
  const refreshAtMs = Date.now() + lifetimeMs - Math.min(refreshBeforeMs, lifetimeMs / 10);
  const key = keyOf(limits);
  tokens.delete(key);
  tokens.set(key, { token: access_token, refreshAtMs });
  const [oldest] = tokens.keys();
  if (tokens.size > maxTokens && oldest !== undefined) tokens.delete(oldest);
}

/** A refresh token consists of the session id, a period and a secret. */
const sessionIdOf = (refreshToken: string): string => refreshToken.split(".", 1)[0] as string;

/**
 * Whether the service rejected the refresh token, which ends the session. After a 400, the stored value is malformed and will not
 * be accepted later either, unless the caller asked for an API or scopes: those may be the wrong part.
 */
const isRefusal = (error: ProblemOf<"refreshToken">, { audience, scope }: TokenLimits): error is RefreshRefusal =>
  error.status === 401 ||
  (error.status === 400 &&
    ((audience === undefined && scope === undefined) ||
      error.errors?.some((invalid) => "pointer" in invalid && invalid.pointer === "#/refresh_token") === true));

/** A storage that lasts until the page or the process ends. */
export function inMemory(): TokenStorage {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
