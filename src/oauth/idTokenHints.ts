/** ID tokens that come back to this service as hints (OpenID Connect Core, section 3.1.2.1; RP-Initiated Logout, section 2). */
import { compactVerify } from "jose";
import { z } from "zod";
import { type ClientId, clientId, type SessionId, sessionId, type UserId, userId } from "../identifiers.ts";
import { isCanonicalJws } from "../lib/compactJws.ts";
import type { SigningKeys } from "../tokens/signingKeys.ts";

export type IdTokenHint = {
  clientId: ClientId;
  userId: UserId;
  sessionId: SessionId;
  /** If the scope `profile` was granted. */
  username: string | undefined;
};

/**
 * Verifies a hint. It may have expired: it identifies the user of an earlier sign-in, and does not authenticate.
 * @returns `undefined` if it is no ID token of this service, or its key is revoked or no longer published
 * @throws {Problem} `database-unavailable`
 */
export type ReadIdTokenHint = (text: string) => Promise<IdTokenHint | undefined>;

const header = z.object({ typ: z.literal("JWT"), kid: z.string().regex(/^[\w-]{43}$/) });

export function createIdTokenHints({ keys, issuer }: { keys: Pick<SigningKeys, "find">; issuer: string }) {
  const claims = z.object({
    iss: z.literal(issuer),
    aud: z.string().transform(clientId),
    sub: z.uuid().transform(userId),
    sid: z.uuid().transform(sessionId),
    preferred_username: z.string().optional(),
  });

  const readIdTokenHint: ReadIdTokenHint = async (text) => {
    const [encodedHeader = ""] = text.split(".", 1);
    const found = isCanonicalJws(text) ? header.safeParse(parsed(encodedHeader)).data : undefined;
    const key = found && (await keys.find(found.kid));
    if (!key || key.isRevoked) return undefined;
    const verified = await compactVerify(text, key.key, { algorithms: [key.algorithm] }).catch(() => undefined);
    const payload = verified && claims.safeParse(parsed(verified.payload)).data;
    if (!payload) return undefined;
    const { aud, sub, sid, preferred_username: username } = payload;
    return { clientId: aud, userId: sub, sessionId: sid, username };
  };
  return readIdTokenHint;
}

/** @param part of a JWS: base64url text, or its bytes */
function parsed(part: string | Uint8Array): unknown {
  try {
    return JSON.parse((typeof part === "string" ? Buffer.from(part, "base64url") : Buffer.from(part)).toString());
  } catch {
    return undefined;
  }
}
