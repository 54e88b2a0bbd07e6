import type { components } from "../../generated/openapi.ts";
import { sessionId } from "../identifiers.ts";
import type { Handler } from "../openapi/binding.ts";
import { Problem } from "../problems/problems.ts";
import { requestContext } from "../requestContext.ts";
import type { Users } from "../users/users.ts";
import type { Sessions, SessionTokens } from "./sessions.ts";
import type { Session } from "./storeTypes.ts";

/** @param publicUrl the prefix of the `Location` header; empty for a path on this host */
export const createSession =
  (sessions: Sessions, publicUrl = ""): Handler<"createSession"> =>
  async ({ principal, body }) => {
    const { address, userAgent } = requestContext();
    const tokens = await sessions.create(principal, { address, userAgent }, body);
    const headers = { Location: `${publicUrl}/api/sessions/${tokens.id}` };
    return { status: 201, headers, body: representTokens(tokens) };
  };

export const refreshToken =
  (sessions: Sessions): Handler<"refreshToken"> =>
  async ({ body }) => ({
    status: 200,
    body: representTokens(await sessions.refresh(body.refresh_token, requestContext().address, body)),
  });

export const listSessions =
  (sessions: Sessions): Handler<"listSessions"> =>
  async ({ principal, query }) => {
    const page = await sessions.list(principal, query?.limit ?? 20, query?.cursor);
    const current = principal.proof === "token" ? principal.sessionId : undefined;
    return {
      status: 200,
      body: {
        sessions: page.items.map((session) => representSession(session, session.id === current)),
        next_cursor: page.next ?? null,
      },
    };
  };

export const endSession =
  (sessions: Sessions): Handler<"endSession"> =>
  async ({ principal, path }) => {
    if (!(await sessions.end(principal.userId, sessionId(path.id.toLowerCase())))) throw new Problem("not-found");
    return { status: 204 };
  };

export const endAllSessions =
  (users: Users): Handler<"endAllSessions"> =>
  async ({ principal }) => {
    await users.signOutEverywhere(principal);
    return { status: 204 };
  };

const representTokens = (tokens: SessionTokens): components["schemas"]["SessionTokens"] => ({
  id: tokens.id,
  access_token: tokens.accessToken,
  token_type: "Bearer",
  expires_in: tokens.expiresInSeconds,
  ...(tokens.scopes && { scope: tokens.scopes.join(" ") }),
  refresh_token: tokens.refreshToken,
  refresh_expires_in: tokens.refreshExpiresInSeconds,
});

export const representSession = (session: Session, current: boolean): components["schemas"]["Session"] => ({
  id: session.id,
  created_at: session.createdAt.toISOString(),
  last_used_at: session.lastUsedAt.toISOString(),
  expires_at: session.expiresAt.toISOString(),
  user_agent: session.userAgent,
  address: session.address,
  audience: session.audience,
  scope: session.scopes?.join(" ") ?? null,
  client_id: session.clientId,
  current,
});
