/** Authorization codes, as if a user had allowed them in a browser. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { TestService } from "./service.ts";

export type CodeOptions = {
  clientId: string;
  userId: string;
  audience?: string;
  scopes?: string[];
  nonce?: string;
  dpopJkt?: string;
};

export const redirectUri = "https://app.example/callback";
/** The issuer of a service with default settings. */
export const ownAudience = "http://127.0.0.1:8080";

export const challengeOf = (verifier: string): string => createHash("sha256").update(verifier).digest("base64url");

/** Stores a code that expires in a minute. @returns the parameters that redeem it, without those of the client */
export async function issueCode(
  service: Pick<TestService, "sql">,
  options: CodeOptions,
): Promise<Record<string, string>> {
  const { clientId, userId, audience = ownAudience, scopes = ["account:read"], nonce, dpopJkt } = options;
  const code = randomBytes(32).toString("base64url");
  const verifier = randomBytes(32).toString("base64url");
  const [grant] = await service.sql(
    `INSERT INTO grants (id, user_id, client_id, audience, scopes) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (user_id, client_id, audience) DO UPDATE SET updated_at = now() RETURNING id`,
    [randomUUID(), userId, clientId, audience, scopes],
  );
  await service.sql(
    `INSERT INTO authorization_codes (digest, client_id, user_id, user_epoch, grant_id, redirect_uri, code_challenge, nonce,
       audience, scopes, authenticated_at, dpop_jkt, expires_at)
     SELECT $1, $2, id, token_epoch, $4, $5, $6, $7, $8, $9, now() - interval '5 minutes', $10, now() + interval '1 minute'
     FROM users WHERE id = $3`,
    [
      createHash("sha256").update(code).digest(),
      clientId,
      userId,
      grant?.["id"],
      redirectUri,
      challengeOf(verifier),
      nonce ?? null,
      audience,
      scopes,
      dpopJkt ?? null,
    ],
  );
  return { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: redirectUri };
}
