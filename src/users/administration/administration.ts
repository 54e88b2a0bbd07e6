/** What administrators, and the operator on the command line, do with the accounts of others. */
import { v7 as uuidv7 } from "uuid";
import { defaultRole } from "../../access/rights.ts";
import { insufficientScope } from "../../access/scopes.ts";
import type { Audit, AuditDetails, AuditEvent } from "../../audit/audit.ts";
import { type CanonicalUsername, userId as toUserId, type UserId } from "../../identifiers.ts";
import { type Page, readPage } from "../../lib/page.ts";
import type { PasswordHasher } from "../../passwords/hashing.ts";
import { invalidRequest, Problem, type RequestError } from "../../problems/problems.ts";
import type { Revocation } from "../../revocations/revocations.ts";
import { acceptPassword, acceptUsername, type EnforcePolicy } from "../acceptance.ts";
import type { User } from "../storeTypes.ts";
import { canonicalUsername } from "../username.ts";
import { type Actor, missingScopes, missingToChange } from "./actor.ts";
import {
  type AdministrationStore,
  type Decision,
  type LockedChange,
  type Role,
  UnknownRole,
  type UserChange,
  type UserFilter,
} from "./storeTypes.ts";

export type Administration = ReturnType<typeof createAdministration>;

type Parts = {
  store: AdministrationStore;
  hasher: PasswordHasher;
  enforcePolicy: EnforcePolicy;
  /** Applies a revocation on this instance at once. Other instances read it from the revocation list. */
  enforce: (revocation: Revocation) => void;
  audit: Audit;
};

/** As typed: not in the form that is compared and stored. */
export type UserQuery = Pick<UserFilter, "isBlocked" | "role"> & {
  username?: string | undefined;
  usernamePrefix?: string | undefined;
};

export function createAdministration({ store, hasher, enforcePolicy, enforce, audit }: Parts) {
  /** In the order of the names, which are the cursors. */
  async function list(
    { username, usernamePrefix, ...filter }: UserQuery,
    { limit, after }: { limit: number; after?: string | undefined },
  ): Promise<Page<User>> {
    const name = canonicalOf(username);
    const prefix = canonicalOf(usernamePrefix);
    if (name === impossible || prefix === impossible) return { items: [], next: undefined };
    return readPage(
      limit,
      (count) => store.list({ ...filter, username: name, usernamePrefix: prefix }, count, after),
      (user) => user.username,
    );
  }

  /** @param nameOrId a username in any form, or an id */
  async function find(nameOrId: string): Promise<User | undefined> {
    if (uuid.test(nameOrId)) return store.find(toUserId(nameOrId.toLowerCase()));
    return (await list({ username: nameOrId }, { limit: 1 })).items[0];
  }

  /** @throws {Problem} `not-found` */
  async function read(id: UserId): Promise<User> {
    return (await store.find(id)) ?? notFound();
  }

  /**
   * Creates a user, without the limits of a registration.
   * @throws {Problem} `invalid-request`, `password-refused`, `username-taken`, `insufficient-scope`, `overloaded`
   */
  async function create(
    user: { username: string; password: string; roles?: readonly string[] },
    actor: Actor,
  ): Promise<User> {
    const username = acceptUsername(user.username);
    const password = acceptPassword(user.password, "#/password");
    const roles = user.roles && user.roles.length > 0 ? await grantable(user.roles, actor) : [];
    const passwordHash = await hash(password, username, actor);
    const values = { id: toUserId(uuidv7()), username, passwordHash, roles: roles.map(({ name }) => name) };
    const created = await store.create({ ...values, reason: actor.reason }).catch(explainUnknownRole);
    record("user-created", created.id, actor, rolesOf(created));
    return created;
  }

  /**
   * Blocks or unblocks a user, and replaces the assigned roles. Blocking revokes all credentials except the password, which is
   * rejected until the user is unblocked.
   * @param isExpected whether the user is in a state that the actor has seen
   * @throws {Problem} `not-found`, `precondition-failed`, `insufficient-scope`, `last-administrator`; `invalid-request` for an
   * unknown role
   */
  async function change(
    id: UserId,
    { isExpected = () => true, ...wanted }: UserChange & { isExpected?: (user: User) => boolean },
    actor: Actor,
  ): Promise<User> {
    const roles = wanted.roles && (await grantable(wanted.roles, actor));
    const decide: Decision = (user) => {
      if (!isExpected(user)) throw new Problem("precondition-failed");
      requireScopes(missingToChange(actor, user), actor);
    };
    const names = roles?.map(({ name }) => name);
    const changed = await store
      .change({ ...wanted, id, roles: names, decide, reason: actor.reason })
      .catch(explainUnknownRole);
    if (!changed) return notFound();
    const { before, after, revocations, deletedApiKeys } = changed;
    for (const revocation of revocations) enforce(revocation);
    for (const apiKeyId of deletedApiKeys) audit("api-key-deleted", { userId: id, apiKeyId, reason: "user-blocked" });
    if (before.isBlocked !== after.isBlocked) record(after.isBlocked ? "user-blocked" : "user-unblocked", id, actor);
    if (before.roles.join() !== after.roles.join()) record("roles-changed", id, actor, rolesOf(after));
    return after;
  }

  /**
   * Sets a password without the current one. Revokes all tokens and sessions of the user, forgets all known networks, and
   * deletes the API keys unless they are kept.
   * @throws {Problem} `not-found`, `invalid-request`, `password-refused`, `insufficient-scope`, `overloaded`
   */
  async function setPassword(
    id: UserId,
    { newPassword, keepApiKeys = false }: { newPassword: string; keepApiKeys?: boolean | undefined },
    actor: Actor,
  ): Promise<void> {
    const password = acceptPassword(newPassword, "#/new_password");
    const { username } = await requireAuthority(id, actor);
    const passwordHash = await hash(password, username, actor);
    const change = { ...administered(id, actor), passwordHash, keepApiKeys };
    const { revocation, deletedApiKeys } = (await store.setPassword(change)) ?? notFound();
    enforce(revocation);
    record("password-changed", id, actor, { passwordEpoch: revocation.minimumEpoch });
    for (const apiKeyId of deletedApiKeys) {
      audit("api-key-deleted", { userId: id, apiKeyId, reason: "password-changed" });
    }
  }

  /** @throws {Problem} `not-found`, `insufficient-scope`, `last-administrator` */
  async function remove(id: UserId, actor: Actor): Promise<void> {
    enforce((await store.delete(administered(id, actor))) ?? notFound());
    record("user-deleted", id, actor);
  }

  /** Ends all sessions and revokes all tokens of a user. @throws {Problem} `not-found`, `insufficient-scope` */
  async function signOut(id: UserId, actor: Actor): Promise<void> {
    enforce((await store.signOut(administered(id, actor))) ?? notFound());
    record("sessions-ended", id, actor);
  }

  /** Requires that the actor may change the user. @throws {Problem} `not-found`, `insufficient-scope` */
  async function requireAuthority(id: UserId, actor: Actor): Promise<User> {
    const user = (await store.find(id)) ?? notFound();
    requireScopes(missingToChange(actor, user), actor);
    return user;
  }

  /** A change that requires all rights of the user. */
  const administered = (id: UserId, actor: Actor): LockedChange => ({
    id,
    decide: (user) => requireScopes(missingToChange(actor, user), actor),
    reason: actor.reason,
  });

  /**
   * @returns the roles with these names, which the actor may assign
   * @throws {Problem} `insufficient-scope`, and `invalid-request` that names the unknown roles
   */
  async function grantable(names: readonly string[], actor: Actor): Promise<Role[]> {
    if (actor.scopes?.has("roles:write") === false) requireScopes(["roles:write"], actor);
    const roles = await store.findRoles(names);
    const [first, ...others] = names.flatMap((name, index): RequestError[] => {
      if (name === defaultRole) return [{ pointer: `#/roles/${index}`, detail: "every user has the role default" }];
      const isKnown = roles.some((role) => role.name === name);
      return isKnown ? [] : [{ pointer: `#/roles/${index}`, detail: `there is no role ${JSON.stringify(name)}` }];
    });
    if (first) throw new Problem("invalid-request", { errors: [first, ...others] });
    requireScopes(missingScopes(actor, roles), actor);
    return roles;
  }

  async function hash(password: string, account: CanonicalUsername, { networks }: Actor): Promise<string> {
    const turn = { networks, account };
    await enforcePolicy(password, turn);
    return hasher.schedule(turn, (deadline) => hasher.hash(password, deadline));
  }

  /** @throws {Problem} `insufficient-scope` */
  function requireScopes(missing: readonly string[], { userId }: Actor): void {
    if (missing.length === 0) return;
    const problem = insufficientScope(missing);
    audit("scope-refused", { userId, scope: problem.scope });
    throw problem;
  }

  const record = (event: AuditEvent, userId: UserId, { reason }: Actor, details: AuditDetails = {}): void =>
    audit(event, { userId, reason, ...details });

  return { list, find, read, create, change, setPassword, remove, signOut, requireAuthority };
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const rolesOf = ({ roles }: User): AuditDetails => ({ roles: roles.join(" ") });

/** A text with which no username can begin. */
const impossible = Symbol("impossible");

const canonicalOf = (text: string | undefined): CanonicalUsername | undefined | typeof impossible =>
  text === undefined ? undefined : (canonicalUsername(text) ?? impossible);

/** A race: the role was deleted after it was found. @throws {Problem} `invalid-request` */
function explainUnknownRole(error: unknown): never {
  throw error instanceof UnknownRole ? invalidRequest({ pointer: "#/roles", detail: "a role was deleted" }) : error;
}

function notFound(): never {
  throw new Problem("not-found");
}
