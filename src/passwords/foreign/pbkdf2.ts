/** PBKDF2 (RFC 8018), as Django, Werkzeug, passlib and OpenLDAP write it. */
import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import {
  decodeAdaptedBase64,
  decodeBase64,
  decodeHex,
  type ForeignHash,
  grouped,
  type HashReader,
  isEqual,
  malformed,
  type RefusedHash,
  tooExpensive,
  wholeNumber,
} from "./foreignHash.ts";

/** Takes about a second with SHA-256, and two with SHA-512. Django doubles its number every few years. */
const maxIterations = 2_500_000;
const maxSaltBytes = 1024;

/** The length of the key is that of the digest. A longer one would multiply the work. */
const digestBytes: Readonly<Record<string, number>> = { sha1: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 };

const derive = promisify(pbkdf2);

type Parts = {
  digest: string;
  iterations: string | undefined;
  salt: Buffer | undefined;
  key: Buffer | undefined;
};

export const readPbkdf2: HashReader = (text) => readDjango(text) ?? readWerkzeug(text) ?? readPasslib(text);

/** `pbkdf2_sha256$260000$SALT$BASE64`. The salt is text. */
const readDjango: HashReader = (text) => {
  const [prefix, digest = ""] = /^pbkdf2_(sha1|sha256)\$/.exec(text) ?? [];
  if (prefix === undefined) return undefined;
  const [iterations, salt = "", key, ...more] = text.slice(prefix.length).split("$");
  const parts = { digest, iterations, salt: Buffer.from(salt), key: decodeBase64(key) };
  return more.length > 0 ? malformed(`PBKDF2-${digest} (Django)`) : check(`PBKDF2-${digest} (Django)`, parts);
};

/** `pbkdf2:sha256:600000$SALT$HEX`. The salt is text. */
const readWerkzeug: HashReader = (text) => {
  const [prefix, digest = "", iterations] = /^pbkdf2:([a-z0-9]{1,16})(?::(\d{1,10}))?\$/.exec(text) ?? [];
  if (prefix === undefined) return text.startsWith("pbkdf2:") ? malformed("PBKDF2 (Werkzeug)") : undefined;
  const [salt = "", key, ...more] = text.slice(prefix.length).split("$");
  const parts = { digest, iterations, salt: Buffer.from(salt), key: decodeHex(key) };
  return more.length > 0 ? malformed(`PBKDF2-${digest} (Werkzeug)`) : check(`PBKDF2-${digest} (Werkzeug)`, parts);
};

/** `$pbkdf2-sha256$29000$SALT$KEY`, and `{PBKDF2-SHA256}29000$SALT$KEY` of LDAP servers. */
const readPasslib: HashReader = (text) => {
  const [prefix, crypt, ldap] = /^(?:\$pbkdf2(-sha256|-sha512)?\$|\{PBKDF2(-SHA1|-SHA256|-SHA512)?\})/.exec(text) ?? [];
  if (prefix === undefined) return undefined;
  const digest = (crypt ?? ldap ?? "-sha1").slice(1).toLowerCase();
  const form = `PBKDF2-${digest} (passlib)`;
  const [iterations, salt, key, ...more] = text.slice(prefix.length).split("$");
  if (more.length > 0) return malformed(form);
  return check(form, { digest, iterations, salt: decodeAdaptedBase64(salt), key: decodeAdaptedBase64(key) });
};

function check(form: string, { digest, iterations, salt, key }: Parts): ForeignHash | RefusedHash {
  const length = Object.hasOwn(digestBytes, digest) ? digestBytes[digest] : undefined;
  if (length === undefined) return { form: "PBKDF2", refusal: "has a digest that is not supported" };
  const count = wholeNumber(iterations);
  if (!(count >= 1) || !salt || salt.length > maxSaltBytes || key?.length !== length) return malformed(form);
  const parameters = `${grouped(count)} iterations`;
  if (count > maxIterations) return tooExpensive(form, parameters, grouped(maxIterations));
  return {
    form,
    parameters,
    work: count,
    matches: async (password) => isEqual(await derive(password, salt, count, length, digest), key),
  };
}
