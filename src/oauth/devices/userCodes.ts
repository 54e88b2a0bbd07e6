/**
 * User codes of the device flow (RFC 8628, section 6.1): 8 consonants, written as `WDJB-MJHT`. They spell no words, and each has 34
 * random bits.
 */
import { createHmac, createSecretKey, hkdfSync, randomInt } from "node:crypto";

const letters = "BCDFGHJKLMNPQRSTVWXZ";
const codeLength = 8;
const form = new RegExp(`^[${letters}]{${codeLength}}$`);

/** @returns a code without its dash */
export const newUserCode = (): string =>
  Array.from({ length: codeLength }, () => letters.charAt(randomInt(letters.length))).join("");

/** The code as people read it. */
export const formatUserCode = (code: string): string => `${code.slice(0, 4)}-${code.slice(4)}`;

/**
 * Reads what a person typed, without regard to case, spaces and dashes of any kind.
 * @returns a code without its dash; `undefined` if the text cannot be one
 */
export function parseUserCode(text: string): string | undefined {
  const code = text.replace(/[\s\p{Pd}]/gu, "").toUpperCase();
  return form.test(code) ? code : undefined;
}

/** The stored forms of a code: under the current secret key, then under the previous ones. */
export type UserCodeHmacs = readonly [current: Buffer, ...previous: Buffer[]];

/**
 * HMACs of codes, because a plain hash of 34 bits could be guessed.
 * @param secretKeys the current one, then the previous ones
 */
export function userCodeHmacs(secretKeys: readonly [string, ...string[]]): (code: string) => UserCodeHmacs {
  const keys = secretKeys.map((secretKey) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", secretKey, "", "latchkey user codes", 32))),
  );
  return (code) => keys.map((key) => createHmac("sha256", key).update(code).digest()) as [Buffer, ...Buffer[]];
}
