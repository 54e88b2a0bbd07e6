/**
 * The client, the API and the requests of the workloads with OAuth. The database of Latchkey contains the client and the API, and
 * oidc-provider is configured with them.
 */
import { createHash } from "node:crypto";
import { secretFormat } from "../src/lib/secretText.ts";
import type { HttpRequest } from "./load/protocol.ts";

export const oauthClient = {
  id: `lkc_${"0".repeat(31)}1`,
  secret: secretFormat("lks_").format(createHash("sha256").update("bench").digest()),
  redirectUri: "https://client.example.com/callback",
};
export const oauthApi = { audience: "https://api.example.com", scope: "orders:read" };

/** The number of users in the database of Latchkey that have allowed the client what it asks for. */
export const consentedUsers = 1_000;

export const form = (path: string, fields: Record<string, string>, authorization?: string): HttpRequest => ({
  method: "POST",
  path,
  headers: { "content-type": "application/x-www-form-urlencoded", ...(authorization && { authorization }) },
  body: new URLSearchParams(fields).toString(),
});

export const basic = (username: string, secret: string) =>
  `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;

const clientBasic = basic(oauthClient.id, oauthClient.secret);

/** The client gets a token for itself. */
export const clientTokenRequest = (path: string): HttpRequest =>
  form(path, { grant_type: "client_credentials", scope: oauthApi.scope, resource: oauthApi.audience }, clientBasic);

/** All flows have the same verifier, so that the load generator computes no digests. */
const verifier = "a".repeat(43);

/** The path of an authorization request, which a browser of the user opens. */
export const authorizationPath = (path: string, username: string): string =>
  `${path}?${new URLSearchParams({
    response_type: "code",
    client_id: oauthClient.id,
    redirect_uri: oauthClient.redirectUri,
    scope: `openid ${oauthApi.scope}`,
    resource: oauthApi.audience,
    state: "bench",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    login_hint: username,
  })}`;

/** The client redeems a code, which is appended to the body. */
export const redemption = (path: string): HttpRequest =>
  form(
    path,
    { grant_type: "authorization_code", redirect_uri: oauthClient.redirectUri, code_verifier: verifier, code: "" },
    clientBasic,
  );
