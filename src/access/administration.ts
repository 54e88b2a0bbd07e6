/** Nobody administers a user who may do more. */
import { scopes as ownScopes } from "../../generated/scopes.ts";
import type { UserId } from "../identifiers.ts";
import { userId } from "../identifiers.ts";
import type { Principal } from "../principal.ts";
import type { Access } from "./rights.ts";

/** Has the rights of every user, and no others. */
const nobody = userId("00000000-0000-0000-0000-000000000000");

/**
 * @returns the scopes of a user that the principal does not have. Those of every user do not count
 * @throws {Problem} `revocations-stale`, `database-unavailable`
 */
export async function missingToAdminister(
  access: Pick<Access, "rightsOf" | "missingScopes">,
  principal: Principal,
  id: UserId,
): Promise<readonly string[]> {
  const [user, everyone] = await Promise.all([access.rightsOf(id), access.rightsOf(nobody)]);
  const allOwn = Object.keys(ownScopes);
  const scopes = user.isAdministrator ? allOwn : [...user.scopes].filter((scope) => !everyone.scopes.has(scope));
  const missing = await access.missingScopes(principal, scopes);
  // An administrator has more than any list of scopes.
  const isAboveAll = user.isAdministrator && !(await access.rightsOf(principal.userId)).isAdministrator;
  return missing.length === 0 && isAboveAll ? allOwn : missing;
}
