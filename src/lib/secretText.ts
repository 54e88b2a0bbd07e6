/**
 * The text of a random secret: a prefix, 43 base62 digits of a 256-bit number, and 6 base62 digits of the CRC-32 (ISO 3309, as in
 * zlib) of the ASCII characters before them. Secret scanners recognize it by its checksum, and the service rejects garbage without
 * a query. docs/api-keys.md describes it, with test vectors.
 */
import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/** The SHA-256 digest of a secret, as 32 one-byte characters. It is stored, and the secret is not. */
export type SecretDigest = string;

export type NewSecret = {
  /** The secret, for its owner only. */
  text: string;
  digest: SecretDigest;
  lastFour: string;
};

export type SecretFormat = {
  /** @param random 32 random bytes */
  format(random: Buffer): string;
  create(): NewSecret;
  /** @returns the digest of a secret; `undefined` if the text cannot be one */
  parse(text: string): SecretDigest | undefined;
};

/** In ASCII order, so that two numbers of the same length compare as their texts do. */
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

export function secretFormat(prefix: string): SecretFormat {
  const form = new RegExp(`^${prefix}[0-9A-Za-z]{49}$`);
  const checkedLength = prefix.length + 43;

  function format(random: Buffer): string {
    let number = "";
    for (let rest = BigInt(`0x${random.toString("hex")}`); number.length < 43; rest /= 62n) {
      number = digits.charAt(Number(rest % 62n)) + number;
    }
    return `${prefix}${number}${checksum(`${prefix}${number}`)}`;
  }

  /** The largest number of 256 bits. 43 digits can express larger ones, which are no secrets. */
  const largest = format(Buffer.alloc(32, 0xff)).slice(0, checkedLength);

  return {
    format,
    create() {
      const text = format(randomBytes(32));
      return { text, digest: digestOf(text), lastFour: text.slice(-4) };
    },
    parse(text) {
      if (!form.test(text)) return undefined;
      const checked = text.slice(0, checkedLength);
      return checked <= largest && checksum(checked) === text.slice(checkedLength) ? digestOf(text) : undefined;
    },
  };
}

/** The form in which Postgres stores a digest. */
export const digestBytes = (digest: SecretDigest): Buffer => Buffer.from(digest, "latin1");

/** The digest that Postgres stores. */
export const storedDigest = (bytes: Buffer): SecretDigest => bytes.toString("latin1");

// Not an argon2 hash: nobody can guess 256 random bits, and each request needs the digest.
function digestOf(text: string): SecretDigest {
  return hash("sha256", text, "binary");
}

function checksum(checked: string): string {
  let text = "";
  for (let rest = crc32(checked); text.length < 6; rest = Math.floor(rest / 62)) text = digits.charAt(rest % 62) + text;
  return text;
}
