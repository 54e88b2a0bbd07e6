/**
 * The current session: its tokens, their refresh, and its end. A request belongs to the session that was current when it was
 * made, and never gets the token of another session.
 */
import type { Client } from "openapi-fetch";
import type { components, paths } from "../../generated/openapi.ts";
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
  access?: { token: string; expiresAtMs: number };
  /** The refresh in progress, which all callers share. */
  renewal?: Promise<Renewed> | undefined;
};

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

export function createSessions({ api, retryingFetch, storage, storageKey, onSignedIn, onSignedOut }: SessionParts) {
  let current: Session | undefined = { id: undefined };
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
      current = { id: tokens.id, access: accessOf(tokens) };
      await storage.setItem(storageKey, tokens.refresh_token);
      return before;
    });
    const isStored = stored !== null && sessionIdOf(stored) === replaced?.id;
    onSignedIn();
    // A failure does not matter: an old session that cannot be ended expires.
    await Promise.allSettled([
      end(replaced?.access?.token, isStored ? stored : null),
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
    const { data } = await sendRefresh(refreshToken, signal);
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

  /** The token of a session. Refreshes if the last one has expired. */
  async function token(session: Session | undefined): Promise<Renewed> {
    if (!session || session !== current) return undefined;
    const { access } = session;
    return access && Date.now() < access.expiresAtMs ? access.token : renew(session, access?.token);
  }

  /** A token of the session other than the rejected one. Concurrent callers share one refresh. */
  async function renew(session: Session | undefined, rejected: string | undefined): Promise<Renewed> {
    if (!session) return undefined;
    if (session.access && session.access.token !== rejected) return session.access.token;
    session.renewal ??= exclusively(storageKey, () => refresh(session)).finally(() => {
      session.renewal = undefined;
    });
    return session.renewal;
  }

  async function refresh(session: Session): Promise<Renewed> {
    const refreshToken = await storage.getItem(storageKey);
    if (session !== current) return undefined;
    if (refreshToken === null || sessionIdOf(refreshToken) !== (session.id ?? sessionIdOf(refreshToken))) {
      await forget(session); // another tab has signed out or signed in
      return undefined;
    }
    const isFound = session.id === undefined;
    session.id = sessionIdOf(refreshToken);
    const { data, error, response } = await sendRefresh(refreshToken, AbortSignal.timeout(refreshTimeoutMs));
    const isStored = await inTurn(async () => {
      const stored = await storage.getItem(storageKey);
      if (session !== current || (stored !== refreshToken && stored !== data?.refresh_token)) return false;
      if (!data) return true;
      session.access = accessOf(data);
      await storage.setItem(storageKey, data.refresh_token);
      return true;
    });
    // Meanwhile this tab or another one signed in or out, or refreshed: the stored token decides.
    if (!isStored) return refresh(session);
    if (data) {
      if (isFound) onSignedIn();
      return data.access_token;
    }
    if (!isRefusal(error)) return () => new Response(JSON.stringify(error), response);
    await forget(session, error);
    return undefined;
  }

  const sendRefresh = (refreshToken: string, signal: AbortSignal) =>
    api.POST("/api/token", { body: { refresh_token: refreshToken }, fetch: retryingFetch, signal });

  const exists = async (): Promise<boolean> => current !== undefined && (await storage.getItem(storageKey)) !== null;

  return { current: () => current, exists, begin, forget, token, renew };
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

const accessOf = ({ access_token, expires_in }: Tokens) => ({
  token: access_token,
  expiresAtMs: Date.now() + expires_in * 1000,
});

/** A refresh token consists of the session id, a period and a secret. */
const sessionIdOf = (refreshToken: string): string => refreshToken.split(".", 1)[0] as string;

/** 400 means that the stored value is malformed: it will not be accepted later either. */
const isRefusal = (error: ProblemOf<"refreshToken">): error is RefreshRefusal =>
  error.status === 400 || error.status === 401;

/** A storage that lasts until the page or the process ends. */
export function inMemory(): TokenStorage {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
