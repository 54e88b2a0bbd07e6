/** A client of OAuth, and a browser without JavaScript: it keeps cookies, follows links and sends forms. */
import { createHash, randomBytes } from "node:crypto";
import { createSealedRequests } from "../../src/oauth/authorization/sealed.ts";
import type { AuthorizationRequest } from "../../src/oauth/authorization/request.ts";
import { clientId as toClientId } from "../../src/identifiers.ts";
import type { Received, Sent } from "./client.ts";
import { secretKey, type TestService } from "./service.ts";

export const redirectUri = "https://app.example/callback";

/** Registers a client that acts for users. Returns its id. */
export async function registerClient(service: TestService, client: { name?: string; redirectUri?: string; isFirstParty?: boolean; scopes?: string[] } = {}) {
  const id = `lkc_${randomBytes(16).toString("hex")}`;
  await service.sql(
    `INSERT INTO clients (id, name, authentication, grant_types, redirect_uris, scopes, is_first_party)
     VALUES ($1, $2, 'client_secret', '{authorization_code,refresh_token}', ARRAY[$3], $4, $5)`,
    [id, client.name ?? "Parcel tracker", client.redirectUri ?? redirectUri, client.scopes ?? ["openid", "account:read"], client.isFirstParty ?? false],
  );
  return id;
}
