/** scrypt (RFC 7914), as Django, Werkzeug and passlib write it. firebase.ts has the variant of Firebase. */
import { type ScryptOptions, scrypt } from "node:crypto";
import {
  decodeBase64,
  decodeHex,
  decodeUnpaddedBase64,
  type ForeignHash,
  grouped,
  type HashReader,
  isEqual,
  malformed,
  type RefusedHash,
  tooExpensive,
  wholeNumber,
} from "./foreignHash.ts";

/** The names of RFC 7914. */
export type ScryptCost = { N: number; r: number; p: number };

const maxMemoryMiB = 128;
/** Of N·r·p. Takes about a second. */
const maxWork = 2 ** 21;
const maxSaltBytes = 1024;
/** The length of the key. */
const djangoBytes = 64;
const werkzeugBytes = 64;
const passlibBytes = 32;

/** @returns why scrypt with these parameters is not computed; `undefined` if it is */
export function refuseScrypt(form: string, { N, r, p }: ScryptCost): RefusedHash | undefined {
  const isPowerOfTwo = Number.isSafeInteger(N) && N > 1 && Number.isInteger(Math.log2(N));
  if (!isPowerOfTwo || !(r >= 1) || !(p >= 1)) return malformed(form);
  const parameters = describeScrypt({ N, r, p });
  if (128 * N * r > maxMemoryMiB * 2 ** 20) return tooExpensive(form, parameters, `${maxMemoryMiB} MiB`);
  return N * r * p > maxWork ? tooExpensive(form, parameters, `N·r·p = ${grouped(maxWork)}`) : undefined;
}

export const describeScrypt = ({ N, r, p }: ScryptCost) => `N ${grouped(N)}, r ${r}, p ${p}`;

/** Without blocking the event loop. */
export const deriveScrypt = (
  password: string,
  { salt, length, cost }: { salt: Buffer; length: number; cost: ScryptCost },
): Promise<Buffer> => {
  // OpenSSL compares its whole need with maxmem: 128·r·(N + p + 2) bytes.
  const options: ScryptOptions = { ...cost, maxmem: 128 * cost.r * (cost.N + cost.p + 2) + 2 ** 20 };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
};

export const readScrypt: HashReader = (text) => readDjango(text) ?? readWerkzeug(text) ?? readPasslib(text);

/** `scrypt$16384$SALT$8$1$BASE64`. The salt is text. */
const readDjango: HashReader = (text) => {
  if (!text.startsWith("scrypt$")) return undefined;
  const form = "scrypt (Django)";
  const [, N, salt = "", r, p, key, ...more] = text.split("$");
  if (more.length > 0) return malformed(form);
  return check(form, { cost: [N, r, p], salt: Buffer.from(salt), key: decodeBase64(key), length: djangoBytes });
};

/** `scrypt:32768:8:1$SALT$HEX`. The salt is text. */
const readWerkzeug: HashReader = (text) => {
  if (!text.startsWith("scrypt:")) return undefined;
  const form = "scrypt (Werkzeug)";
  const [method = "", salt = "", key, ...more] = text.split("$");
  const [, N, r, p, ...rest] = method.split(":");
  if (more.length > 0 || rest.length > 0) return malformed(form);
  return check(form, { cost: [N, r, p], salt: Buffer.from(salt), key: decodeHex(key), length: werkzeugBytes });
};

/** `$scrypt$ln=16,r=8,p=1$SALT$KEY` */
const readPasslib: HashReader = (text) => {
  if (!text.startsWith("$scrypt$")) return undefined;
  const form = "scrypt (passlib)";
  const [, ln, r, p, salt, key] = /^\$scrypt\$ln=([1-9]\d?),r=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(text) ?? [];
  if (ln === undefined) return malformed(form);
  const parts = { salt: decodeUnpaddedBase64(salt), key: decodeUnpaddedBase64(key), length: passlibBytes };
  return check(form, { cost: [String(2 ** Number(ln)), r, p], ...parts });
};

type Parts = { cost: (string | undefined)[]; salt: Buffer | undefined; key: Buffer | undefined; length: number };

function check(form: string, { cost: texts, salt, key, length }: Parts): ForeignHash | RefusedHash {
  const [N = Number.NaN, r = Number.NaN, p = Number.NaN] = texts.map(wholeNumber);
  const cost = { N, r, p };
  if (!salt || salt.length > maxSaltBytes || key?.length !== length) return malformed(form);
  return (
    refuseScrypt(form, cost) ?? {
      form,
      parameters: describeScrypt(cost),
      work: N * r * p,
      matches: async (password) => isEqual(await deriveScrypt(password, { salt, length, cost }), key),
    }
  );
}
