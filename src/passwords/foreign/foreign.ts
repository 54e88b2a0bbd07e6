/** Recognizes the hashes of other programs by their form. */
import { readArgon2 } from "./argon2.ts";
import { readBcrypt } from "./bcrypt.ts";
import { readFirebase } from "./firebase.ts";
import type { HashReader } from "./foreignHash.ts";
import { readLdap } from "./ldap.ts";
import { readPbkdf2 } from "./pbkdf2.ts";
import { readScrypt } from "./scrypt.ts";
import { readShaCrypt } from "./shaCrypt.ts";

/** Longer than the longest hash of each form. */
const maxLength = 4096;

const readers: readonly HashReader[] = [
  (text) => readArgon2(text),
  readBcrypt,
  readFirebase,
  readLdap,
  readPbkdf2,
  readScrypt,
  readShaCrypt,
];

/** @returns `undefined` if the form is unknown */
export const readForeignHash: HashReader = (text) => {
  if (text.length > maxLength) return undefined;
  for (const read of readers) {
    const hash = read(text);
    if (hash) return hash;
  }
  return undefined;
};
