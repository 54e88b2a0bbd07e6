/** The public keys of clients: those that are registered, or those at a registered URL. */
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import QuickLRU from "quick-lru";
import { z } from "zod";
import { FetchError, type FetchJson } from "../http/fetchJson.ts";
import { isQuickToVerify } from "../lib/jwk.ts";
import type { Client } from "./storeTypes.ts";

export type KeySet = ReturnType<typeof createLocalJWKSet>;

export type ClientKeySets = {
  /**
   * @param isFresh whether the keys must have been fetched within the last minute, because a key is missing
   * @returns `undefined` if the keys at the URL cannot be fetched
   */
  of(client: Client, isFresh?: boolean): Promise<KeySet | undefined>;
};

type Fetched = { keySet: KeySet | undefined; fetchedAtMs: number; expiresAtMs: number };

const limits = { maxBytes: 32_768, timeoutMs: 2_000 };
const minAgeSeconds = 60;
const defaultAgeSeconds = 300;
const maxAgeSeconds = 3_600;
const maxFetched = 1_000;

/** Keys of other types and sizes are ignored, as RFC 7517 (section 5) asks. A private key fails the verification. */
const jwks = z.object({
  keys: z
    .array(z.record(z.string(), z.unknown()))
    .max(20)
    .transform((keys) => keys.filter(isQuickToVerify)),
});

/** @param clock milliseconds of a clock that does not jump */
export function createClientKeySets(fetchJson: FetchJson, clock = () => performance.now()): ClientKeySets {
  /** Imported once for each client in memory. */
  const registered = new WeakMap<Client, KeySet>();
  const fetched = new QuickLRU<string, Promise<Fetched>>({ maxSize: maxFetched });

  async function fetch(uri: string): Promise<Fetched> {
    const fetchedAtMs = clock();
    const ending = (seconds: number, keySet?: KeySet) => ({
      keySet,
      fetchedAtMs,
      expiresAtMs: fetchedAtMs + seconds * 1000,
    });
    try {
      const { body, maxAgeSeconds: given = defaultAgeSeconds } = await fetchJson(uri, limits);
      const { data } = jwks.safeParse(body);
      if (!data) return ending(minAgeSeconds);
      const age = Math.min(maxAgeSeconds, Math.max(minAgeSeconds, given));
      return ending(age, createLocalJWKSet(data as JSONWebKeySet));
    } catch (error) {
      if (!(error instanceof FetchError)) throw error;
      return ending(minAgeSeconds);
    }
  }

  async function at(uri: string, isFresh: boolean): Promise<KeySet | undefined> {
    const known = await fetched.get(uri);
    const isCurrent = known && known.expiresAtMs > clock();
    if (isCurrent && (!isFresh || known.fetchedAtMs > clock() - minAgeSeconds * 1000)) return known.keySet;
    // Requests that come meanwhile wait for the same response.
    const next = fetch(uri);
    fetched.set(uri, next);
    next.catch(() => fetched.delete(uri));
    return (await next).keySet;
  }

  return {
    async of(client, isFresh = false) {
      if (client.jwksUri !== null) return at(client.jwksUri, isFresh);
      const keySet = registered.get(client) ?? createLocalJWKSet((client.jwks ?? { keys: [] }) as JSONWebKeySet);
      registered.set(client, keySet);
      return keySet;
    },
  };
}
