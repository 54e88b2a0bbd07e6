/** Salted digests, as LDAP servers store them: `{SSHA}` and base64 of the digest and the salt. A name has any case (RFC 2307). */
import { createHash } from "node:crypto";
import { decodeBase64, type HashReader, isEqual, malformed } from "./foreignHash.ts";

const digests: Readonly<Record<string, { name: string; bytes: number }>> = {
  SSHA: { name: "sha1", bytes: 20 },
  SSHA256: { name: "sha256", bytes: 32 },
  SSHA384: { name: "sha384", bytes: 48 },
  SSHA512: { name: "sha512", bytes: 64 },
};
const maxSaltBytes = 64;

export const readLdap: HashReader = (text) => {
  const [prefix, scheme = ""] = /^\{(SSHA(?:256|384|512)?)\}/i.exec(text) ?? [];
  const digest = digests[scheme.toUpperCase()];
  if (prefix === undefined || !digest) return undefined;
  const form = `${scheme.toUpperCase()} (LDAP)`;
  const bytes = decodeBase64(text.slice(prefix.length));
  const saltBytes = (bytes?.length ?? 0) - digest.bytes;
  if (!bytes || saltBytes < 1 || saltBytes > maxSaltBytes) return malformed(form);
  const stored = bytes.subarray(0, digest.bytes);
  const salt = bytes.subarray(digest.bytes);
  return {
    form,
    parameters: "",
    work: 1,
    matches: async (password) => isEqual(createHash(digest.name).update(password).update(salt).digest(), stored),
  };
};
