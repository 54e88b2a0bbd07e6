/**
 * The keys of counters. Each is an HMAC under a key that is derived from `SECRET_KEY` (HKDF, RFC 5869). Users sometimes type
 * their password as the username, and a plain hash of it could be guessed.
 */
import { createHmac, createSecretKey, hkdfSync, type KeyObject } from "node:crypto";

/** The same key under the current secret key, then under the previous ones. */
type Keys = [current: string, ...previous: string[]];

export type ThrottleKeys = {
  /** For an account, by the name that was typed. */
  accounts(name: string): Keys;
  /** For an account and a network that is known to it. */
  knownNetworks(name: string, network: string): Keys;
  /** For a network. */
  network(network: string): string;
};

/** @param secretKeys the current one, then the previous ones */
export function throttleKeys(secretKeys: readonly [string, ...string[]]): ThrottleKeys {
  // From a Buffer, Node would create a KeyObject for each use.
  const keys = secretKeys.map((secretKey) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", secretKey, "", "latchkey throttling", 32))),
  ) as [KeyObject, ...KeyObject[]];
  const digest = (key: KeyObject, ...parts: string[]): string =>
    createHmac("sha256", key).update(JSON.stringify(parts)).digest("base64url");
  const underEach = (...parts: string[]) => keys.map((key) => digest(key, ...parts)) as Keys;
  return {
    accounts: (name) => underEach("account", name),
    knownNetworks: (name, network) => underEach("familiar", name, network),
    network: (network) => digest(keys[0], "network", network),
  };
}
