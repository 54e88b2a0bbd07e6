/**
 * SHA-crypt: the algorithm of `$5$` and `$6$`, as specified by Ulrich Drepper (https://www.akkadia.org/drepper/SHA-crypt.txt).
 * The maintained package for it rejects right passwords whose length is a multiple of that of the digest.
 */
import { createHash, hash } from "node:crypto";

export type ShaCrypt = { algorithm: "sha256" | "sha512"; rounds: number; salt: string };

const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** @returns the part behind the salt. Blocks the thread for about a microsecond per round. */
export function shaCryptDigest(password: string, { algorithm, rounds, salt: saltText }: ShaCrypt): string {
  const key = Buffer.from(password);
  const salt = Buffer.from(saltText, "latin1");
  const digestOf = (...parts: Buffer[]): Buffer => {
    const digest = createHash(algorithm);
    for (const part of parts) digest.update(part);
    return digest.digest();
  };

  const alternate = digestOf(key, salt, key);
  const parts = [key, salt, stretched(alternate, key.length)];
  for (let bits = key.length; bits > 0; bits >>= 1) parts.push(bits & 1 ? alternate : key);
  let digest = digestOf(...parts);
  const p = stretched(digestOf(...Array<Buffer>(key.length).fill(key)), key.length);
  const s = stretched(digestOf(...Array<Buffer>(16 + (digest[0] ?? 0)).fill(salt)), salt.length);

  // The composition of a round's input repeats after 42 rounds. Only the digest in it changes.
  const inputs = Array.from({ length: 42 }, (_, round) => {
    const parts = [...(round % 3 ? [s] : []), ...(round % 7 ? [p] : [])];
    return round % 2
      ? { bytes: Buffer.concat([p, ...parts, digest]), digestAt: Buffer.concat([p, ...parts]).length }
      : { bytes: Buffer.concat([digest, ...parts, p]), digestAt: 0 };
  });
  for (let round = 0; round < rounds; round += inputs.length) {
    for (const { bytes, digestAt } of inputs.slice(0, rounds - round)) {
      bytes.set(digest, digestAt);
      digest = hash(algorithm, bytes, "buffer");
    }
  }
  return encode(digest);
}

/** Repeats the bytes up to a length. */
const stretched = (bytes: Buffer, length: number): Buffer => Buffer.alloc(length, bytes);

/** Writes the bytes in the order of the specification: three at a time, as four characters of six bits, the lowest first. */
function encode(digest: Buffer): string {
  const isShort = digest.length === 32;
  const third = Math.floor(digest.length / 3);
  let text = "";
  const write = (value: number, characters: number) => {
    for (let index = 0; index < characters; index += 1) text += alphabet[(value >> (6 * index)) & 63];
  };
  const at = (index: number) => digest[index] ?? 0;
  let [a, b, c] = [0, third, 2 * third];
  for (let group = 0; group < third; group += 1) {
    write((at(a) << 16) | (at(b) << 8) | at(c), 4);
    [a, b, c] = isShort ? [c + 1, a + 1, b + 1] : [b + 1, c + 1, a + 1];
  }
  if (isShort) write((at(31) << 8) | at(30), 3);
  else write(at(63), 2);
  return text;
}
