/** A client refreshes the session that a user has started for it (RFC 6749, section 6), with all promises of sessions/refresh.ts. */
import type { Grants } from "../../access/grants.ts";
import { Problem } from "../../problems/problems.ts";
import { requestContext } from "../../requestContext.ts";
import { tokenClientOf } from "../../sessions/clients/clientSessions.ts";
import type { GrantOf } from "../../sessions/refresh.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import type { IssueIdToken } from "../idTokens.ts";
import { narrowedAccess, withinClient } from "../requestedAccess.ts";
import { type GrantHandler, invalidGrant, requireParameter, scopesOfResponse } from "./grant.ts";

type Parts = {
  sessions: Pick<Sessions, "refreshFor">;
  grants: Pick<Grants, "grant">;
  issueIdToken: IssueIdToken;
  issuer: string;
};

export const refreshToken =
  ({ sessions, grants, issueIdToken, issuer }: Parts): GrantHandler =>
  async (client, parameters, proofKey) => {
    const text = requireParameter(parameters, "refresh_token");
    let granted: readonly string[] = [];
    const grantOf: GrantOf = async ({ userId, audience, scopes }) => {
      const whole = { audience: audience ?? issuer, scopes: scopes ?? [] };
      const access = withinClient({ client, issuer }, narrowedAccess(whole, parameters));
      granted = access.scopes;
      return grants.grant(userId, access);
    };
    const { address } = requestContext();
    const tokens = await sessions
      .refreshFor({ ...tokenClientOf(client), boundTo: proofKey }, { text, address, grantOf })
      .catch((error: unknown) => {
        throw error instanceof Problem && error.status === 401 ? invalidGrant(error) : error;
      });
    return {
      accessToken: tokens.accessToken,
      expiresInSeconds: tokens.expiresInSeconds,
      scopes: scopesOfResponse(granted, tokens.scopes ?? []),
      refreshToken: tokens.refreshToken,
      // No nonce: it belongs to the authorization request (OpenID Connect Core, section 12.2).
      idToken: await issueIdToken({
        clientId: client.id,
        userId: tokens.userId,
        username: tokens.username,
        scopes: granted,
        authenticatedAt: tokens.authenticatedAt,
        nonce: undefined,
        sessionId: tokens.id,
        accessToken: tokens.accessToken,
        seconds: tokens.expiresInSeconds,
      }),
    };
  };
