/** What every form of a foreign hash has in common. A foreign hash was made by another program, and came with an import. */
import { timingSafeEqual } from "node:crypto";

/** A hash that this service can verify, at a bounded cost. */
export type ForeignHash = {
  /** The algorithm, and the program if others write it differently: `bcrypt`, `scrypt (Werkzeug)`. */
  form: string;
  /** The cost parameters, for people: `cost 12`. Empty if there are none. */
  parameters: string;
  /** Grows with the time that a check takes. Comparable among hashes of one form. */
  work: number;
  /** Takes as long whether or not the password matches. Does not block the event loop. */
  matches(password: string): Promise<boolean>;
};

/** A hash of a known form that this service does not compute. */
export type RefusedHash = {
  form: string;
  /** Follows "the hash": `costs too much: …`. It contains no part of the hash except its cost parameters. */
  refusal: string;
};

/** Reads the hashes of one family. @returns `undefined` if the text is not of this family */
export type HashReader = (text: string) => ForeignHash | RefusedHash | undefined;

export const malformed = (form: string): RefusedHash => ({ form, refusal: "is incomplete or malformed" });

/** @param parameters such as `cost 16` @param limit such as `cost 15` */
export const tooExpensive = (form: string, parameters: string, limit: string): RefusedHash => ({
  form,
  refusal: `costs too much: ${parameters}, and the maximum is ${limit}`,
});

/** A decimal number without leading zeros. @returns `NaN` for anything else */
export const wholeNumber = (text: string | undefined): number =>
  text !== undefined && /^(?:0|[1-9]\d{0,9})$/.test(text) ? Number(text) : Number.NaN;

export const grouped = (number: number) => number.toLocaleString("en-US");

/** @returns `undefined` unless the text is the canonical base64 of some bytes, with padding. Decoders accept much more. */
export function decodeBase64(text: string | undefined): Buffer | undefined {
  const bytes = Buffer.from(text ?? "", "base64");
  return text === bytes.toString("base64") ? bytes : undefined;
}

/** The same without padding. */
export const decodeUnpaddedBase64 = (text: string | undefined): Buffer | undefined =>
  text === undefined || text.includes("=") ? undefined : decodeBase64(text.padEnd(Math.ceil(text.length / 4) * 4, "="));

/** The same with `.` instead of `+`, as passlib writes it. */
export const decodeAdaptedBase64 = (text: string | undefined): Buffer | undefined =>
  text?.includes("+") ? undefined : decodeUnpaddedBase64(text?.replaceAll(".", "+"));

/** @returns `undefined` unless the text is lower-case hexadecimal */
export const decodeHex = (text: string | undefined): Buffer | undefined =>
  text !== undefined && text.length % 2 === 0 && /^[0-9a-f]*$/.test(text) ? Buffer.from(text, "hex") : undefined;

/** Compares in constant time. */
export const isEqual = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other);
