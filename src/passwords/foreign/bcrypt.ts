/**
 * bcrypt, as PHP, Python, Ruby, Java, Node.js, htpasswd, Auth0 and Supabase write it, and the two forms of Django.
 *
 * bcrypt counts 72 bytes of the password. The programs that write this form ignore the rest, or reject longer passwords. So a
 * longer password matches here if its first 72 bytes do. The hash that replaces this one is that of the whole password.
 */
import { createHash } from "node:crypto";
import { verify } from "@node-rs/bcrypt";
import { type HashReader, malformed, tooExpensive } from "./foreignHash.ts";

/** Takes about two seconds. Each step doubles it. */
const maxCost = 15;
const minCost = 4;
/** The last characters of the salt and of the digest have two and four bits. The library never matches what has more. */
const shape = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/;

export const readBcrypt: HashReader = (text) => {
  const [prefix] = /^(?:\{CRYPT\}|bcrypt\$|bcrypt_sha256\$)?(?=\$2[abxy]?\$)/.exec(text) ?? [];
  if (prefix === undefined) return undefined;
  const isDigested = prefix === "bcrypt_sha256$";
  const form = isDigested ? "bcrypt_sha256 (Django)" : "bcrypt";
  const encoded = text.slice(prefix.length);
  // Hashes of 2x are those of a faulty program: it mixed up passwords with characters beyond ASCII.
  if (/^\$2(?:x)?\$/.test(encoded)) return { form, refusal: "has a version that is not supported: 2x or 2" };
  const cost = Number(shape.exec(encoded)?.[1]);
  if (!(cost >= minCost)) return malformed(form);
  if (cost > maxCost) return tooExpensive(form, `cost ${cost}`, `${maxCost}`);
  return {
    form,
    parameters: `cost ${cost}`,
    work: cost,
    matches: (password) => verify(isDigested ? sha256Hex(password) : password, encoded),
  };
};

const sha256Hex = (password: string) => createHash("sha256").update(password).digest("hex");
