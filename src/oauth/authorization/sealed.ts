/**
 * Seals authorization requests, which browsers keep until the user has decided: as a JWE (RFC 7516) under a key that is derived from
 * `SECRET_KEY`. So requests of strangers need no rows. A sealed request opens only in the browser that began it. It is therefore
 * also the token of its forms against cross-site requests.
 */
import { createHash, hkdfSync } from "node:crypto";
import { CompactEncrypt, compactDecrypt } from "jose";
import type { AuthorizationRequest } from "./request.ts";

/**
 * Who may open a sealed request: a browser with this secret cookie, or any user through the API (`AUTHORIZATION_PAGE_URL`), where
 * the first user to open it is the only one who may decide.
 */
export type Holder = { cookie: string } | "api";

export type SealedRequests = {
  /** @returns `undefined` if the request is too long for a URL */
  seal(request: AuthorizationRequest, holder: Holder): Promise<string | undefined>;
  /** @returns `undefined` if the text is no sealed request of this service, belongs to another holder, or has expired */
  open(text: string, holder: Holder): Promise<AuthorizationRequest | undefined>;
};

/** A user has this time to sign in and to decide, in seconds. */
export const authorizationSeconds = 600;

/** The maximum length that the contract allows. Proxies limit the length of a URL and of a header. */
export const maxSealedLength = 6_000;

/** @param secretKeys the current one, which seals, then earlier ones, which only open */
export function createSealedRequests(secretKeys: readonly [string, ...string[]], clock: () => Date): SealedRequests {
  const keys = secretKeys.map((key) => new Uint8Array(hkdfSync("sha256", key, "", "latchkey authorizations", 32)));
  const [current] = keys as [Uint8Array];

  return {
    async seal(request, holder) {
      const text = await new CompactEncrypt(Buffer.from(JSON.stringify({ ...request, holder: nameOf(holder) })))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
        .encrypt(current);
      return text.length <= maxSealedLength ? text : undefined;
    },

    async open(text, holder) {
      if (text.length > maxSealedLength) return undefined;
      for (const key of keys) {
        const opened = await decrypt(text, key);
        if (!opened) continue;
        const { holder: sealedFor, ...request } = opened;
        const ageMs = clock().getTime() - request.beganAtMs;
        return sealedFor === nameOf(holder) && ageMs < authorizationSeconds * 1000 ? request : undefined;
      }
      return undefined;
    },
  };
}

/** A digest, so that a leaked request does not reveal the cookie. It cannot be `api`. */
const nameOf = (holder: Holder): string =>
  holder === "api" ? holder : createHash("sha256").update(holder.cookie).digest("base64url");

async function decrypt(
  text: string,
  key: Uint8Array,
): Promise<(AuthorizationRequest & { holder: string }) | undefined> {
  try {
    const { plaintext } = await compactDecrypt(text, key, {
      keyManagementAlgorithms: ["dir"],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    return JSON.parse(Buffer.from(plaintext).toString());
  } catch {
    return undefined; // garbage, altered, or sealed under another key
  }
}
