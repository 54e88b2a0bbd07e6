/** Nobody administers a user who may do more. */
import { type UserId, userId } from "../identifiers.ts";
import type { Principal } from "../principal.ts";
import type { Access } from "./rights.ts";
import { allOwnScopes } from "./scopes.ts";

/** Has the rights of every user, and no others. */
const nobody = userId("00000000-0000-0000-0000-000000000000");

/**
 * Requires each scope that a user has, except those of every user.
 * @throws {Problem} `insufficient-scope`, `revocations-stale`, `database-unavailable`
 */
export async function requireAdministrable(
  access: Pick<Access, "rightsOf" | "requireScopes" | "refuse">,
  principal: Principal,
  id: UserId,
): Promise<void> {
  const [user, everyone] = await Promise.all([access.rightsOf(id), access.rightsOf(nobody)]);
  const scopes = user.isAdministrator ? allOwnScopes : [...user.scopes];
  await access.requireScopes(
    principal,
    scopes.filter((scope) => !everyone.scopes.has(scope)),
  );
  // An administrator has more than any list of scopes.
  const isAbove = user.isAdministrator && !(await access.rightsOf(principal.userId)).isAdministrator;
  if (isAbove) access.refuse(principal, allOwnScopes);
}
