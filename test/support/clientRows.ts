/** Clients of OAuth as rows, for tests that are not about their registration. */
import { randomUUID } from "node:crypto";
import { newClientSecret } from "../../src/clients/secrets.ts";
import type { ClientAuthenticationMethod, GrantType } from "../../src/clients/storeTypes.ts";
import { digestBytes } from "../../src/lib/secretText.ts";
import type { TestService } from "./service.ts";

export const deviceCodeGrant = "urn:ietf:params:oauth:grant-type:device_code";

type Members = {
  name?: string;
  authentication?: ClientAuthenticationMethod;
  grantTypes?: GrantType[];
  redirectUris?: string[];
  postLogoutRedirectUris?: string[];
  scopes?: string[];
  audiences?: string[];
  isFirstParty?: boolean;
};

/** Adds a client, with a secret unless it is public. It may use every grant that is for users. */
export async function insertClient(
  service: Pick<TestService, "sql">,
  members: Members = {},
): Promise<{ id: string; secret: string }> {
  const {
    name = "A client",
    authentication = "client_secret",
    grantTypes = ["authorization_code", "refresh_token", deviceCodeGrant],
    redirectUris = ["https://app.example/callback"],
    postLogoutRedirectUris = [],
    scopes = ["account:read"],
    audiences = [],
    isFirstParty = false,
  } = members;
  const id = `lkc_${randomUUID().replaceAll("-", "")}`;
  await service.sql(
    `INSERT INTO clients (id, name, authentication, grant_types, redirect_uris, post_logout_redirect_uris, scopes, audiences,
       is_first_party) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [id, name, authentication, grantTypes, redirectUris, postLogoutRedirectUris, scopes, audiences, isFirstParty],
  );
  if (authentication !== "client_secret") return { id, secret: "" };
  const secret = newClientSecret();
  await service.sql("INSERT INTO client_secrets (id, client_id, digest, last_four) VALUES ($1, $2, $3, $4)", [
    randomUUID(),
    id,
    digestBytes(secret.digest),
    secret.lastFour,
  ]);
  return { id, secret: secret.text };
}
