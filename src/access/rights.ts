/**
 * What a request may do: its user has rights, which the roles determine, and its credential has scopes, which limit them. Both
 * must contain a scope. The rights of a user are read from the database once, and again after a change.
 */
import type { Audit } from "../audit/audit.ts";
import type { UserId } from "../identifiers.ts";
import { type ApiTokenPrincipal, identityOf, type Principal } from "../principal.ts";
import { revocableCache } from "../revocations/cache.ts";
import type { Revocations } from "../revocations/revocations.ts";
import { insufficientScope, isOpenIdScope, isOwnScope } from "./scopes.ts";

/** The role that has every scope, whatever is stored. */
export const administrator = "administrator";
/** The role of every user. */
export const defaultRole = "default";

/** The subject of the revocation entry that every change of a user's roles writes. */
export const rightsSubject = (userId: UserId) => `rights:${userId}` as const;
/** The subject of the revocation entry that every change of a role's scopes writes. */
export const roleSubject = (role: string) => `role:${role}` as const;

/** What a user may do. */
export type Rights = {
  /** Without `default`, which every user has. */
  roles: readonly string[];
  /** The scopes of all roles, those of `default` included. An administrator has every scope, whether or not it is listed. */
  scopes: ReadonlySet<string>;
  isAdministrator: boolean;
  /**
   * The versions of the roles and of their assignment, by the subjects of their revocation entries. A token with these scopes
   * contains them, so that the revocation list can revoke it when the user loses a scope.
   */
  epochs: Readonly<Record<string, number>>;
};

export type RightsStore = {
  /** @returns the rights of `default` if there is no such user */
  findRights(userId: UserId): Promise<Rights>;
};

export type Access = {
  rightsOf(userId: UserId): Rights | Promise<Rights>;
  /**
   * @returns those of the scopes that the user or the credential does not have
   * @throws {Problem} `revocations-stale`, `database-unavailable`
   */
  missingScopes(principal: Principal, scopes: readonly string[]): readonly string[] | Promise<readonly string[]>;
  /**
   * For scopes that the contract does not declare, because they depend on the request.
   * @throws {Problem} `insufficient-scope`, `revocations-stale`, `database-unavailable`
   */
  requireScopes(principal: Principal, scopes: readonly string[]): Promise<void>;
  /** Reports a principal without these scopes. @throws {Problem} `insufficient-scope` */
  refuse(principal: Principal | ApiTokenPrincipal, missing: readonly string[]): never;
};

type Parts = {
  store: RightsStore;
  revocations: Pick<Revocations, "onEntry" | "requireCurrent">;
  audit: Audit;
};

/** The cache keeps the rights of at least this number of users. */
const maxUsers = 10_000;

export function createAccess({ store, revocations, audit }: Parts): Access {
  const cache = revocableCache<Rights>({
    revocations,
    load: (userId) => store.findRights(userId as UserId),
    subjectsOf: (userId, { roles }) => [
      rightsSubject(userId as UserId),
      userId, // a deleted user may be imported again, with other roles
      ...[defaultRole, ...roles].map(roleSubject),
    ],
    maxSize: maxUsers,
  });

  const missingScopes: Access["missingScopes"] = (principal, scopes) => {
    const allowed = credentialScopes(principal);
    const excluded = allowed === undefined ? [] : scopes.filter((scope) => !allowed.has(scope));
    // A change of the client's scopes revokes its tokens.
    if (excluded.length > 0 || principal.proof === "client-token" || scopes.every(isOfEveryUser)) return excluded;
    revocations.requireCurrent();
    const rights = cache.get(principal.userId);
    return rights instanceof Promise
      ? rights.then((loaded) => missingRights(loaded, scopes))
      : missingRights(rights, scopes);
  };

  const refuse: Access["refuse"] = (principal, missing) => {
    const problem = insufficientScope(missing);
    audit("scope-refused", { ...identityOf(principal), scope: problem.scope });
    throw problem;
  };

  return {
    rightsOf: cache.get,
    missingScopes,
    refuse,
    async requireScopes(principal, scopes) {
      const missing = await missingScopes(principal, scopes);
      if (missing.length > 0) refuse(principal, missing);
    },
  };
}

/** Whether every user has a scope: for the user's own account, or of OpenID Connect. An API may have a scope with such a prefix. */
export const isOfEveryUser = (scope: string): boolean =>
  (scope.startsWith("account:") && isOwnScope(scope)) || isOpenIdScope(scope);

/** @returns those of the scopes that a user with these rights does not have */
export const missingRights = ({ scopes, isAdministrator }: Rights, wanted: readonly string[]): readonly string[] =>
  isAdministrator ? [] : wanted.filter((scope) => !isOfEveryUser(scope) && !scopes.has(scope));

/** @returns those of the scopes that a user with these rights has */
export function heldScopes(rights: Rights, wanted: readonly string[]): readonly string[] {
  const missing = new Set(missingRights(rights, wanted));
  return wanted.filter((scope) => !missing.has(scope));
}

/** @returns the scopes that the credential is limited to; `undefined` if it has no limit */
export const credentialScopes = (principal: Principal): ReadonlySet<string> | undefined =>
  principal.proof === "password" ? undefined : principal.scopes;
