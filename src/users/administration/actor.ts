/**
 * The actor of a change to a user, and the rights that it may grant: nobody grants, or takes over through another user, more than they have
 * themselves.
 */
import { scopes as ownScopes } from "../../../generated/scopes.ts";
import { type Access, administrator, credentialScopes, isOfEveryUser } from "../../access/rights.ts";
import type { UserId } from "../../identifiers.ts";
import { type Networks, unknownNetwork } from "../../networks.ts";
import type { Principal } from "../../principal.ts";
import { isDelegated } from "../../tokens/claims.ts";
import type { AdministeredUser, Role } from "./storeTypes.ts";

export type Actor = {
  /** `undefined` for the operator and for a client. */
  userId: UserId | undefined;
  /** For the audit events of what the actor does. */
  reason: "administrator" | "operator";
  /** The rights of the user that the credential allows; `undefined`: every scope. */
  scopes: ReadonlySet<string> | undefined;
  /** Whether the credential may change the account of its own user. */
  mayChangeSelf: boolean;
  networks: Networks;
};

/** Someone with access to the database, on the command line. */
export const operator: Actor = {
  userId: undefined,
  reason: "operator",
  scopes: undefined,
  mayChangeSelf: true,
  networks: [unknownNetwork],
};

/** @throws {Problem} `database-unavailable` */
export async function actorOf(
  access: Pick<Access, "rightsOf">,
  principal: Principal,
  networks: Networks,
): Promise<Actor> {
  if (principal.proof === "client-token") {
    const { scopes } = principal;
    return { userId: undefined, reason: "administrator", scopes, mayChangeSelf: true, networks };
  }
  const rights = await access.rightsOf(principal.userId);
  const allowed = credentialScopes(principal);
  const limited = allowed && [...allowed].filter((scope) => rights.scopes.has(scope));
  return {
    userId: principal.userId,
    reason: "administrator",
    scopes: rights.isAdministrator ? allowed : limited ? new Set(limited) : rights.scopes,
    mayChangeSelf: !isDelegated(principal) && (allowed?.has(changeOfSelf) ?? true),
    networks,
  };
}

/**
 * The scopes that the actor needs to change a user, and does not have. For its own user, a limited credential needs `account:write`
 * as well: with another password, it would get rid of its limits. A client that acts for the user cannot do it at all.
 */
export function missingToChange(
  actor: Actor,
  { id, assignedRoles }: Pick<AdministeredUser, "id" | "assignedRoles">,
): string[] {
  const missing = missingScopes(actor, assignedRoles);
  return id === actor.userId && !actor.mayChangeSelf ? [changeOfSelf, ...missing] : missing;
}

/**
 * The scopes of roles that the actor does not have. A user without roles has no rights beyond those of every user, so
 * the scopes of `default` are not compared.
 */
export function missingScopes({ scopes }: Actor, roles: readonly Role[]): string[] {
  if (scopes === undefined) return [];
  const isAdministrator = roles.some(({ name }) => name === administrator);
  const wanted = roles.flatMap((role) => role.scopes).filter(isGranted);
  const missing = [...new Set([...(isAdministrator ? grantedScopes : []), ...wanted])].filter(
    (scope) => !scopes.has(scope),
  );
  // An administrator has more than any list of scopes.
  return isAdministrator && missing.length === 0 ? grantedScopes : missing;
}

const changeOfSelf = "account:write";

/** Whether a user needs a role for the scope. */
const isGranted = (scope: string): boolean => !isOfEveryUser(scope);
const grantedScopes = Object.keys(ownScopes).filter(isGranted);
