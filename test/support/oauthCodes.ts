/** Authorization codes and device codes, as if a user had allowed them in a browser. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { deviceCodeGrant } from "./clientRows.ts";
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
  const grantId = await storeGrant(service, { clientId, userId, audience, scopes });
  await service.sql(
    `INSERT INTO authorization_codes (digest, client_id, user_id, user_epoch, grant_id, redirect_uri, code_challenge, nonce,
       audience, scopes, authenticated_at, dpop_jkt, expires_at)
     SELECT $1, $2, id, token_epoch, $4, $5, $6, $7, $8, $9, now() - interval '5 minutes', $10, now() + interval '1 minute'
     FROM users WHERE id = $3`,
    [
      createHash("sha256").update(code).digest(),
      clientId,
      userId,
      grantId,
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

/** Stores a device code that its user has allowed. @returns the parameters that redeem it, without those of the client */
export async function issueDeviceCode(
  service: Pick<TestService, "sql">,
  { clientId, userId, audience = ownAudience, scopes = ["account:read"] }: CodeOptions,
): Promise<Record<string, string>> {
  const access = { clientId, userId, audience, scopes };
  const code = randomBytes(32).toString("base64url");
  await service.sql(
    `INSERT INTO device_codes (digest, user_code_hmac, client_id, audience, scopes, expires_at, interval_seconds, user_id,
       user_epoch, grant_id, decision, authenticated_at)
     SELECT $1, $2, $3, $4, $5, now() + interval '5 minutes', 5, id, token_epoch, $7, 'allowed', now()
     FROM users WHERE id = $6`,
    [
      createHash("sha256").update(code).digest(),
      randomBytes(32),
      access.clientId,
      access.audience,
      access.scopes,
      access.userId,
      await storeGrant(service, access),
    ],
  );
  return { grant_type: deviceCodeGrant, device_code: code };
}

type Access = { clientId: string; userId: string; audience: string; scopes: string[] };

async function storeGrant(service: Pick<TestService, "sql">, { userId, clientId, audience, scopes }: Access) {
  const [grant] = await service.sql(
    `INSERT INTO grants (id, user_id, client_id, audience, scopes) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (user_id, client_id, audience) DO UPDATE SET updated_at = now() RETURNING id`,
    [randomUUID(), userId, clientId, audience, scopes],
  );
  return grant?.["id"];
}
