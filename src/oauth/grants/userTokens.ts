/** Issues the tokens of a session that a code or a device code has started. */
import type { Grants } from "../../access/grants.ts";
import type { Client } from "../../clients/storeTypes.ts";
import {
  type PreparedSession,
  type StartedClientSession,
  tokenClientOf,
} from "../../sessions/clients/clientSessions.ts";
import type { IssueIdToken } from "../idTokens.ts";
import { withinClient } from "../requestedAccess.ts";
import { type IssuedTokens, scopesOfResponse } from "./grant.ts";

type Parts = {
  grants: Pick<Grants, "grant">;
  issueIdToken: IssueIdToken;
  issuer: string;
};

type Started = {
  client: Client;
  prepared: PreparedSession;
  session: StartedClientSession;
  proofKey: string | undefined;
  /** Limits the access token, but neither the session nor the ID token. */
  limit: (scopes: readonly string[]) => readonly string[];
  nonce?: string | undefined;
};

/** @throws {Problem} `invalid-target` if the API was deleted; `revocations-stale`, `database-unavailable` */
export type IssueUserTokens = (started: Started) => Promise<IssuedTokens>;

export const createUserTokens =
  ({ grants, issueIdToken, issuer }: Parts): IssueUserTokens =>
  async ({ client, prepared, session, proofKey, limit, nonce }) => {
    const { userId, username, authenticatedAt } = session;
    const sessionId = prepared.values.sessionId;
    const { audience, scopes } = withinClient({ client, issuer }, session);
    const asked = limit(scopes);
    const grant = await grants.grant(userId, { audience, scopes: asked });
    if (!grant) throw new Error("a client gets limited tokens only");
    const seconds = Math.max(1, Math.min(grant.seconds, session.refreshExpiresInSeconds));
    const accessToken = await prepared.issue(session, {
      sessionId,
      grant,
      seconds,
      client: { ...tokenClientOf(client), authenticatedAt, boundTo: proofKey },
    });
    const contents = { clientId: client.id, userId, username, scopes, authenticatedAt, nonce, sessionId };
    return {
      accessToken,
      expiresInSeconds: seconds,
      scopes: scopesOfResponse(asked, grant.scopes),
      refreshToken: prepared.refreshToken,
      idToken: await issueIdToken({ ...contents, accessToken, seconds }),
    };
  };
