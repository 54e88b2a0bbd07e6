/**
 * The session that is signed in: its tokens, their renewal, and its end. Each request belongs to the session under which it
 * was made, and never gets the token of another.
 */
import type { Client } from "openapi-fetch";
import type { components, paths } from "../../generated/openapi.ts";
import type { ProblemOf } from "./problems.ts";
import type { Fetch } from "./retry.ts";

/** Where the refresh token is kept: `localStorage`, or anything that can do as much, at once or with promises. */
export type TokenStorage = {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
};

/** Why a refresh token was not accepted. */
export type RefreshRefusal = Extract<ProblemOf<"refreshToken">, { status?: 400 | 401 }>;

/** A session of this client. Its identity is that of the object. */
export type Session = {
  /** `undefined` at the start, until a session is found in the storage. */
  id: string | undefined;
  access?: { token: string; expiresAtMs: number };
  /** The refresh under way, which all who need it share. */
  renewal?: Promise<Renewed> | undefined;
};

/** A token to send, `undefined` where the session is not signed in, or the answer of a service that cannot refresh now. */
type Renewed = string | undefined | (() => Response);

type Tokens = components["schemas"]["SessionTokens"];

type SessionParts = {
  /** Sends without a token of its own. */
  api: Client<paths>;
  /** Sends a refresh until it has an answer. */
  repeating: Fetch;
  storage: TokenStorage;
  /** Under which the refresh token is kept. */
  storageKey: string;
  /** Called once for each session that is over. */
  onSignedOut: (refusal?: RefreshRefusal) => void;
};

/** A lost answer can be asked for again for as long (`REFRESH_GRACE_SECONDS`). */
const refreshTimeoutMs = 10_000;

export function createSessions({ api, repeating, storage, storageKey, onSignedOut }: SessionParts) {
  let current: Session | undefined = { id: undefined };
  let lastStep: Promise<unknown> = Promise.resolve();

  /** Runs steps that read and write the storage one after the other: a slow write must not overtake a later one. */
  function inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = lastStep.then(step);
    lastStep = done.catch(() => {});
    return done;
  }

  /** Makes a new session the current one, then ends the session that it replaces, here and in the storage. */
  async function begin(tokens: Tokens): Promise<void> {
    const [replaced, stored] = await inTurn(async () => {
      const before = [current, await storage.getItem(storageKey)] as const;
      current = { id: tokens.id, access: accessOf(tokens) };
      await storage.setItem(storageKey, tokens.refresh_token);
      return before;
    });
    const isStored = stored !== null && sessionIdOf(stored) === replaced?.id;
    // The new session counts, whatever comes of the old one. What cannot be ended expires.
    await Promise.allSettled([
      end(replaced?.access?.token, isStored ? stored : null),
      isStored ? undefined : end(undefined, stored),
    ]);
  }

  /** Ends a session with its access token, or with a new one where that is not accepted any more. */
  async function end(token: string | undefined, refreshToken: string | null): Promise<void> {
    const signal = AbortSignal.timeout(refreshTimeoutMs);
    const revoke = (bearer: string) =>
      api.DELETE("/api/token", { headers: { Authorization: `Bearer ${bearer}` }, signal });
    if (token !== undefined && (await revoke(token)).response.ok) return;
    if (refreshToken === null) return;
    const { data } = await exchange(refreshToken, signal);
    if (data) await revoke(data.access_token);
  }

  /** The session is over, unless another has replaced it. What is stored of another session stays. */
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

  /** The token to send for a session; a new one where the last is known to be over. */
  async function token(session: Session | undefined): Promise<Renewed> {
    if (!session || session !== current) return undefined;
    const { access } = session;
    return access && Date.now() < access.expiresAtMs ? access.token : renew(session, access?.token);
  }

  /** A token of the session other than the one that is of no use. Of many who ask at once, one refreshes. */
  async function renew(session: Session | undefined, useless: string | undefined): Promise<Renewed> {
    if (!session) return undefined;
    if (session.access && session.access.token !== useless) return session.access.token;
    session.renewal ??= exclusively(storageKey, () => refresh(session)).finally(() => {
      session.renewal = undefined;
    });
    return session.renewal;
  }

  async function refresh(session: Session): Promise<Renewed> {
    const refreshToken = await storage.getItem(storageKey);
    if (session !== current) return undefined;
    if (refreshToken === null || sessionIdOf(refreshToken) !== (session.id ?? sessionIdOf(refreshToken))) {
      await forget(session); // another tab has signed out, or has signed somebody in
      return undefined;
    }
    session.id = sessionIdOf(refreshToken);
    const { data, error, response } = await exchange(refreshToken, AbortSignal.timeout(refreshTimeoutMs));
    const isStored = await inTurn(async () => {
      const stored = await storage.getItem(storageKey);
      if (session !== current || (stored !== refreshToken && stored !== data?.refresh_token)) return false;
      if (!data) return true;
      session.access = accessOf(data);
      await storage.setItem(storageKey, data.refresh_token);
      return true;
    });
    // This tab or another has signed in or out meanwhile, or has refreshed again: what is stored counts.
    if (!isStored) return refresh(session);
    if (data) return data.access_token;
    if (!isRefusal(error)) return () => new Response(JSON.stringify(error), response);
    await forget(session, error);
    return undefined;
  }

  const exchange = (refreshToken: string, signal: AbortSignal) =>
    api.POST("/api/token", { body: { refresh_token: refreshToken }, fetch: repeating, signal });

  return { current: () => current, begin, forget, token, renew };
}

type Locks = { request<T>(name: string, task: () => Promise<T>): Promise<T> };

/**
 * One tab after the other, where the browser has Web Locks: two that use one refresh token at once, over two addresses, look
 * like an owner and a thief.
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
    return task(); // a document without an origin, such as a sandboxed frame, has locks and may not use them
  });
}

const accessOf = ({ access_token, expires_in }: Tokens) => ({
  token: access_token,
  expiresAtMs: Date.now() + expires_in * 1000,
});

/** A refresh token is the session's id and a secret, with a full stop between them. */
const sessionIdOf = (refreshToken: string): string => refreshToken.split(".", 1)[0] as string;

/** A stored value that is not even well-formed will not be accepted later either. */
const isRefusal = (error: ProblemOf<"refreshToken">): error is RefreshRefusal =>
  error.status === 400 || error.status === 401;

/** Until the page is left or the process ends. */
export function inMemory(): TokenStorage {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
