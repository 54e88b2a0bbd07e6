/** Roles: named sets of scopes. */
import type { Audit } from "../audit/audit.ts";
import { type Page, readPage } from "../lib/page.ts";
import { retryOnConflict } from "../lib/retryOnConflict.ts";
import type { Principal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import type { Revocation } from "../revocations/revocations.ts";
import { requireDisplayable } from "./displayText.ts";
import { type Access, administrator, defaultRole } from "./rights.ts";
import { requireKnownScopes } from "./scopes.ts";

export type Role = {
  name: string;
  description: string;
  /** In alphabetical order. */
  scopes: string[];
  createdAt: Date;
  updatedAt: Date;
};

/** A new role, or what replaces an existing one. */
export type RoleDefinition = Pick<Role, "name" | "description" | "scopes">;

export type RoleStore = {
  /** In the order of their names. */
  list(limit: number, after: string | undefined): Promise<Role[]>;
  find(name: string): Promise<Role | undefined>;
  /** @returns `undefined` if there is such a role */
  insert(role: RoleDefinition): Promise<Role | undefined>;
  /**
   * Replaces a role that has exactly the expected scopes.
   * @returns the role and the revocation from the same transaction; `undefined` if there is no such role
   */
  replace(role: RoleDefinition, expectedScopes: string[]): Promise<{ role: Role; changed: Revocation } | undefined>;
  /** Deletes a role that has exactly the expected scopes. Its users lose it. @returns the revocation */
  delete(name: string, expectedScopes: string[]): Promise<Revocation | undefined>;
  /** @returns those of the scopes that a registered API has */
  findApiScopes(scopes: string[]): Promise<string[]>;
};

/** The actor of a change to a role. An operator at the command line may grant every scope. */
export type Editor = Principal | "operator";

export type Roles = ReturnType<typeof createRoles>;

type Parts = {
  store: RoleStore;
  access: Pick<Access, "requireScopes">;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  audit: Audit;
};

export const isBuiltIn = (role: string): boolean => role === administrator || role === defaultRole;

export function createRoles({ store, access, enforce, audit }: Parts) {
  /** In the order of the names, which are the cursors. */
  const list = (limit: number, after?: string): Promise<Page<Role>> =>
    readPage(
      limit,
      (count) => store.list(count, after),
      ({ name }) => name,
    );

  /** @throws {Problem} `not-found` */
  async function find(name: string): Promise<Role> {
    const role = await store.find(name);
    if (!role) throw new Problem("not-found", { detail: `There is no role ${name}.` });
    return role;
  }

  /**
   * Creates a role, or replaces it.
   * @throws {Problem} `built-in-role`, `invalid-request` for an unknown scope or the description, `insufficient-scope` if the
   * editor does not have a scope that the role gets or had, `overloaded`
   */
  async function put(editor: Editor, definition: RoleDefinition): Promise<{ role: Role; isNew: boolean }> {
    const { name, description } = definition;
    if (name === administrator) throw new Problem("built-in-role", { detail: "administrator has every scope." });
    requireDisplayable(description, "#/description");
    const scopes = [...definition.scopes].sort();
    const result = await retryOnConflict(async () => {
      const before = await store.find(name);
      // A scope that the role has already may stay, although its API was deleted.
      await requireKnownScopes(definition.scopes, async (others) => [
        ...(before?.scopes ?? []),
        ...(await store.findApiScopes(others)),
      ]);
      await requireHeld(editor, new Set([...scopes, ...(before?.scopes ?? [])]));
      const next = { name, description, scopes };
      if (before) return store.replace(next, before.scopes);
      const role = await store.insert(next);
      return role && { role, changed: undefined };
    });
    if (result.changed) enforce(result.changed);
    audit("role-changed", { role: name, scope: scopes.join(" ") });
    return { role: result.role, isNew: result.changed === undefined };
  }

  /**
   * Deletes a role, and takes it from all users.
   * @throws {Problem} `built-in-role`, `not-found`, `insufficient-scope` if the editor does not have a scope of the role,
   * `overloaded`
   */
  async function remove(editor: Editor, name: string): Promise<void> {
    if (isBuiltIn(name)) throw new Problem("built-in-role", { detail: `${name} cannot be deleted.` });
    const changed = await retryOnConflict(async () => {
      const { scopes } = await find(name);
      await requireHeld(editor, new Set(scopes));
      return store.delete(name, scopes);
    });
    enforce(changed);
    audit("role-deleted", { role: name });
  }

  async function requireHeld(editor: Editor, scopes: ReadonlySet<string>): Promise<void> {
    if (editor !== "operator") await access.requireScopes(editor, [...scopes]);
  }

  return { list, find, put, remove };
}
