import type { Access } from "../../access/rights.ts";
import { sessionId, type UserId, userId } from "../../identifiers.ts";
import type { Handler } from "../../openapi/binding.ts";
import type { Principal } from "../../principal.ts";
import { Problem } from "../../problems/problems.ts";
import { clientNetworks } from "../../requestContext.ts";
import { representSession } from "../../sessions/handlers.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import { etagOf, representUser, userReply } from "../representUser.ts";
import type { User } from "../storeTypes.ts";
import { type Actor, actorOf } from "./actor.ts";
import type { Administration } from "./administration.ts";

type Parts = { administration: Administration; access: Access };

export const listUsers =
  (administration: Administration): Handler<"listUsers"> =>
  async ({ query = {} }) => {
    const { username, username_prefix: usernamePrefix, blocked: isBlocked, role, limit = 20, after } = query;
    const { items, next } = await administration.list({ username, usernamePrefix, isBlocked, role }, { limit, after });
    return { status: 200, body: { users: items.map(representUser), next: next ?? null } };
  };

export const updateUser =
  ({ administration, access }: Parts): Handler<"updateUser"> =>
  async ({ principal, path, header, body }) => {
    const { blocked: isBlocked, roles } = body;
    const isExpected = etagCheck(header["If-Match"]);
    return userReply(
      await administration.change(idIn(path), { isBlocked, roles, isExpected }, await actorFor(access, principal)),
    );
  };

export const setUserPassword =
  ({ administration, access }: Parts): Handler<"setUserPassword"> =>
  async ({ principal, path, body }) => {
    const { new_password: newPassword, keep_api_keys: keepApiKeys } = body;
    await administration.setPassword(idIn(path), { newPassword, keepApiKeys }, await actorFor(access, principal));
    return { status: 204 };
  };

export const deleteUserById =
  ({ administration, access }: Parts): Handler<"deleteUserById"> =>
  async ({ principal, path }) => {
    await administration.remove(idIn(path), await actorFor(access, principal));
    return { status: 204 };
  };

export const listUserSessions =
  (administration: Administration, sessions: Sessions): Handler<"listUserSessions"> =>
  async ({ principal, path, query }) => {
    const { id } = await administration.read(idIn(path));
    const page = await sessions.list({ userId: id }, query?.limit ?? 20, query?.after);
    const current = principal.proof === "token" ? principal.sessionId : undefined;
    return {
      status: 200,
      body: {
        sessions: page.items.map((session) => representSession(session, session.id === current)),
        next: page.next ?? null,
      },
    };
  };

export const endUserSessions =
  ({ administration, access }: Parts): Handler<"endUserSessions"> =>
  async ({ principal, path }) => {
    await administration.signOut(idIn(path), await actorFor(access, principal));
    return { status: 204 };
  };

export const endUserSession =
  ({ administration, access, sessions }: Parts & { sessions: Sessions }): Handler<"endUserSession"> =>
  async ({ principal, path }) => {
    const actor = await actorFor(access, principal);
    const { id } = await administration.requireAuthority(idIn(path), actor);
    const hasEnded = await sessions.end(id, sessionId(path.session_id.toLowerCase()), actor.reason);
    if (!hasEnded) throw new Problem("not-found");
    return { status: 204 };
  };

const idIn = (path: { id: string }): UserId => userId(path.id.toLowerCase());

const actorFor = (access: Access, principal: Principal): Promise<Actor> => actorOf(access, principal, clientNetworks());

/**
 * Whether `If-Match` has the user's ETag (RFC 9110, section 13.1.1). A weak ETag does not match.
 * @param ifMatch `*`, or a list of ETags
 */
function etagCheck(ifMatch: string | undefined): (user: User) => boolean {
  if (ifMatch === undefined || ifMatch.trim() === "*") return () => true;
  const etags = ifMatch.split(",").map((etag) => etag.trim());
  return (user) => etags.includes(etagOf(user));
}
