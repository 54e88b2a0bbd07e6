/**
 * The text of an API key: `lk_`, 43 base62 digits of a 256-bit number, and 6 base62 digits of the CRC-32 (ISO 3309, as in zlib) of
 * the 46 ASCII characters before them. Secret scanners recognize a key by its checksum, and the service rejects garbage without
 * a query. docs/api-keys.md describes it, with a test vector.
 */
import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/** The SHA-256 digest of a key, as 32 one-byte characters. It is stored, and the key is not. */
export type ApiKeyDigest = string;

export type NewSecret = {
  /** The key, for its owner only. */
  text: string;
  digest: ApiKeyDigest;
  lastFour: string;
};

/** In ASCII order, so that two numbers of the same length compare as their texts do. */
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const form = /^lk_[0-9A-Za-z]{49}$/;
const checkedLength = "lk_".length + 43;

/** @param random 32 random bytes */
export function formatKey(random: Buffer): string {
  let number = "";
  for (let rest = BigInt(`0x${random.toString("hex")}`); number.length < 43; rest /= 62n) {
    number = digits.charAt(Number(rest % 62n)) + number;
  }
  return `lk_${number}${checksum(`lk_${number}`)}`;
}

/** The largest number of 256 bits. 43 digits can express larger ones, which are no keys. */
const largest = formatKey(Buffer.alloc(32, 0xff)).slice(0, checkedLength);

export function newSecret(): NewSecret {
  const text = formatKey(randomBytes(32));
  return { text, digest: digestOf(text), lastFour: text.slice(-4) };
}

/** @returns the digest of a key; `undefined` if the text cannot be one */
export function parseKey(text: string): ApiKeyDigest | undefined {
  if (!form.test(text)) return undefined;
  const checked = text.slice(0, checkedLength);
  return checked <= largest && checksum(checked) === text.slice(checkedLength) ? digestOf(text) : undefined;
}

/** The form in which Postgres stores a digest. */
export const digestBytes = (digest: ApiKeyDigest): Buffer => Buffer.from(digest, "latin1");

// Not an argon2 hash: nobody can guess 256 random bits, and each request needs the digest.
function digestOf(text: string): ApiKeyDigest {
  return hash("sha256", text, "binary");
}

function checksum(checked: string): string {
  let text = "";
  for (let rest = crc32(checked); text.length < 6; rest = Math.floor(rest / 62)) text = digits.charAt(rest % 62) + text;
  return text;
}
