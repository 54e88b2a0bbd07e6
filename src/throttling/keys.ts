/**
 * The names under which guesses are counted. What is typed as a username may be a password, so nothing derived from
 * it is stored without a secret: each key is an HMAC under a key of its own, derived from `SECRET_KEY` (HKDF, RFC 5869).
 */
import { createHmac, createSecretKey, hkdfSync, type KeyObject } from "node:crypto";

export type ThrottleKeys = {
  /** Of an account, by the name that was typed: under the present secret key, then under the previous one. */
  accounts(name: string): [string, ...string[]];
  /** Of an account that has been signed in to from a network: under the present secret key, then under the previous one. */
  familiar(name: string, network: string): [string, ...string[]];
  network(network: string): string;
};

/** @param secretKeys the present one, then those before it */
export function throttleKeys(secretKeys: readonly [string, ...string[]]): ThrottleKeys {
  // As KeyObjects: of a Buffer, Node would make one for each use.
  const keys = secretKeys.map((secretKey) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", secretKey, "", "latchkey throttling", 32))),
  ) as [KeyObject, ...KeyObject[]];
  const digest = (key: KeyObject, ...parts: string[]): string =>
    createHmac("sha256", key).update(JSON.stringify(parts)).digest("base64url");
  const underEach = (...parts: string[]) => keys.map((key) => digest(key, ...parts)) as [string, ...string[]];
  return {
    accounts: (name) => underEach("account", name),
    familiar: (name, network) => underEach("familiar", name, network),
    network: (network) => digest(keys[0], "network", network),
  };
}
