/**
 * The scrypt of Firebase Authentication: the derived key encrypts the signer key of the project with AES-256-CTR, and the result
 * is the hash. Written as Supabase does, with the parameters of the project in each hash:
 *
 *     $fbscrypt$v=1,n=14,r=8,p=1,ss=SALT_SEPARATOR,sk=SIGNER_KEY$SALT$HASH
 */
import { createCipheriv } from "node:crypto";
import { decodeBase64, type HashReader, isEqual, malformed } from "./foreignHash.ts";
import { deriveScrypt, describeScrypt, refuseScrypt } from "./scrypt.ts";

const form = "scrypt (Firebase)";
const maxSaltBytes = 1024;
const maxSignerKeyBytes = 256;
const counterBlock = Buffer.alloc(16);

export const readFirebase: HashReader = (text) => {
  if (!text.startsWith("$fbscrypt$")) return undefined;
  const [, n, r, p, separatorText, signerKeyText, saltText, hashText] =
    /^\$fbscrypt\$v=1,n=([1-9]\d?),r=([1-9]\d{0,5}),p=([1-9]\d{0,5})(?:,ss=([^,$]*))?,sk=([^,$]+)\$([^$]+)\$([^$]+)$/.exec(
      text,
    ) ?? [];
  const separator = decodeBase64(separatorText ?? "");
  const [signerKey, salt, hash] = [signerKeyText, saltText, hashText].map(decodeBase64);
  if (!separator || !signerKey || !salt || !hash) return malformed(form);
  const isSized = salt.length + separator.length <= maxSaltBytes && signerKey.length <= maxSignerKeyBytes;
  if (!isSized || hash.length !== signerKey.length) return malformed(form);
  const cost = { N: 2 ** Number(n), r: Number(r), p: Number(p) };
  return (
    refuseScrypt(form, cost) ?? {
      form,
      parameters: describeScrypt(cost),
      work: cost.N * cost.r * cost.p,
      async matches(password) {
        const key = await deriveScrypt(password, { salt: Buffer.concat([salt, separator]), length: 32, cost });
        const cipher = createCipheriv("aes-256-ctr", key, counterBlock);
        return isEqual(Buffer.concat([cipher.update(signerKey), cipher.final()]), hash);
      },
    }
  );
};
