import { type Access, credentialScopes } from "../access/rights.ts";
import { insufficientScope } from "../access/scopes.ts";
import { userId } from "../identifiers.ts";
import type { Handler } from "../openapi/binding.ts";
import type { UserPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { clientNetworks, requestContext } from "../requestContext.ts";
import { isDelegated } from "../tokens/claims.ts";
import { actorOf } from "./administration/actor.ts";
import type { Administration } from "./administration/administration.ts";
import { representUser, userReply } from "./representUser.ts";
import type { Users } from "./users.ts";

type Parts = { users: Users; administration: Administration; access: Access };
type Registration = Parts & {
  /** Whether everyone may register. Otherwise administrators create users. */
  isRegistrationOpen: boolean;
  /** The prefix of the `Location` header; empty for a path on this host. */
  publicUrl: string | undefined;
};

export const createUser =
  ({ users, administration, access, isRegistrationOpen, publicUrl = "" }: Registration): Handler<"createUser"> =>
  async ({ principal, body }) => {
    const { username, password, roles = [] } = body;
    if (!principal && (!isRegistrationOpen || roles.length > 0)) requireAdministrator(access);
    const user = principal
      ? await administration.create(body, await actorOf(access, principal, clientNetworks()))
      : await users.register(username, password, clientNetworks());
    return { status: 201, headers: { Location: `${publicUrl}/api/users/${user.id}` }, body: representUser(user) };
  };

/** Refuses a request without credentials that have the scope. @throws {Problem} a 401, or `insufficient-scope` */
function requireAdministrator(access: Access): never {
  const { withoutScopes, refusal } = requestContext();
  if (!withoutScopes) throw refusal ?? new Problem("authentication-required");
  return access.refuse(withoutScopes, ["users:write"]);
}

export const getUser =
  ({ users, administration, access }: Parts): Handler<"getUser"> =>
  async ({ principal, path }) => {
    const id = userId(path.id.toLowerCase());
    if (principal.proof !== "client-token" && id === principal.userId && maySeeProfile(principal))
      return userReply(await users.readSelf(principal));
    if ((await access.missingScopes(principal, ["users:read"])).length > 0) throw new Problem("not-found");
    return userReply(await administration.read(id));
  };

export const getCurrentUser =
  (users: Users): Handler<"getCurrentUser"> =>
  async ({ principal }) => {
    if (!maySeeProfile(principal)) throw insufficientScope(["profile"]);
    return userReply(await users.readSelf(principal));
  };

/** A client that may know who its user is (`openid`) may not know the user's name and roles by that. */
const maySeeProfile = (principal: UserPrincipal): boolean =>
  !isDelegated(principal) || ["profile", "account:read"].some((scope) => credentialScopes(principal)?.has(scope));

export const changePassword =
  (users: Users): Handler<"changePassword"> =>
  async ({ principal, body }) => {
    if (isDelegated(principal)) throw new Problem("insufficient-scope", refusal);
    const { current_password: current, new_password: next, keep_api_keys: keepApiKeys = false } = body;
    await users.changePassword(principal, { current, next, keepApiKeys, networks: clientNetworks() });
    return { status: 204 };
  };

/** With the new password, the client could do more than the user allows it. */
const refusal = { scope: "account:write", detail: "A client cannot change the password of its user." };

export const deleteUser =
  (users: Users): Handler<"deleteUser"> =>
  async ({ principal }) => {
    await users.remove(principal);
    return { status: 204 };
  };
