/** The tokens of whoever is signed in: kept, renewed once for all who need it, and given up when they are over. */
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

/** A token to send, `undefined` where nobody is signed in, or the answer of a service that cannot refresh just now. */
type Renewed = string | undefined | (() => Response);

/** A lost answer can be asked for again for as long (`REFRESH_GRACE_SECONDS`). */
const refreshTimeoutMs = 10_000;

/**
 * @param repeating sends a refresh until it has an answer
 * @param storageKey under which the refresh token is kept
 * @param onSignedOut called once for each session that is over
 */
export function createSession(
  api: Client<paths>,
  repeating: Fetch,
  storage: TokenStorage,
  storageKey: string,
  onSignedOut: (refusal?: RefreshRefusal) => void,
) {
  let access: { token: string; expiresAtMs: number } | undefined;
  let renewal: Promise<Renewed> | undefined;

  async function keep(tokens: components["schemas"]["SessionTokens"]): Promise<void> {
    access = { token: tokens.access_token, expiresAtMs: Date.now() + tokens.expires_in * 1000 };
    await storage.setItem(storageKey, tokens.refresh_token);
  }

  async function forget(refusal?: RefreshRefusal): Promise<void> {
    const wasSignedIn = access !== undefined || (await storage.getItem(storageKey)) !== null;
    access = undefined;
    await storage.removeItem(storageKey);
    if (wasSignedIn) onSignedOut(refusal);
  }

  /** The token to send; a new one where the last is known to be over. */
  async function token(): Promise<Renewed> {
    return access && Date.now() < access.expiresAtMs ? access.token : renew(access?.token);
  }

  /** A token other than the one that is of no use. Of many who ask at once, one refreshes. */
  async function renew(useless: string | undefined): Promise<Renewed> {
    if (access && access.token !== useless) return access.token;
    renewal ??= refresh().finally(() => {
      renewal = undefined;
    });
    return renewal;
  }

  async function refresh(): Promise<Renewed> {
    const refreshToken = await storage.getItem(storageKey);
    if (refreshToken === null) {
      await forget(); // perhaps another tab has signed out
      return undefined;
    }
    const { data, error, response } = await api.POST("/api/token", {
      body: { refresh_token: refreshToken },
      fetch: repeating,
      signal: AbortSignal.timeout(refreshTimeoutMs),
    });
    const stored = await storage.getItem(storageKey);
    // Somebody has signed in or out meanwhile, or another tab has gone further: what is stored counts.
    if (stored !== refreshToken && stored !== data?.refresh_token) return refresh();
    if (data) {
      await keep(data);
      return data.access_token;
    }
    if (!isRefusal(error)) return () => new Response(JSON.stringify(error), response);
    await forget(error);
    return undefined;
  }

  /** Whether it is the token that calls are sent with at present. */
  const isCurrent = (token: string): boolean => access?.token === token;

  return { keep, forget, token, renew, isCurrent };
}

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
