/** API keys: how they are created, changed, rotated and revoked. verification.ts checks them. */
import { v7 as uuidv7 } from "uuid";
import { requireDisplayable } from "../access/displayText.ts";
import type { Access } from "../access/rights.ts";
import { isOpenIdScope, requireKnownScopes } from "../access/scopes.ts";
import type { Audit } from "../audit/audit.ts";
import { type ApiKeyId, apiKeyId, type UserId } from "../identifiers.ts";
import { type Page, readPage } from "../lib/page.ts";
import { retryOnConflict } from "../lib/retryOnConflict.ts";
import type { PasswordPrincipal, Principal, TokenPrincipal } from "../principal.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";
import { maxEpoch, type Revocation } from "../revocations/revocations.ts";
import { isDelegated } from "../tokens/claims.ts";
import { withCurrentPassword } from "../users/currentPassword.ts";
import { newSecret, parseKey } from "./format.ts";
import type { ApiKey, ApiKeyChange, ApiKeyStore, Owner } from "./storeTypes.ts";

/** The actor of a change to a key: its owner, or an operator at the command line, who may grant every scope. */
export type KeyManager = PasswordPrincipal | TokenPrincipal | { proof: "operator"; userId: UserId };

export type NewApiKey = { name: string; scopes: readonly string[]; expiresAt: Date | null };

/** A key with its text, which is not stored. */
export type CreatedApiKey = ApiKey & { key: string };

export type ApiKeys = ReturnType<typeof createApiKeys>;

type Parts = {
  store: ApiKeyStore;
  access: Pick<Access, "requireScopes">;
  /** @throws {Problem} `insufficient-scope` if the user has a scope that the principal does not have */
  requireAdministrable(principal: Principal, userId: UserId): Promise<void>;
  /** @returns those of the scopes that a registered API has */
  findApiScopes(scopes: string[]): Promise<string[]>;
  /** Applies a revocation on this instance at once. Other instances read it from the revocation list. */
  enforce(revocation: Revocation): void;
  /** The time of the database. */
  clock: () => Date;
  audit: Audit;
  /** The maximum number of keys of a user. */
  keysPerUser: number;
};

export function createApiKeys({ store, access, enforce, clock, audit, keysPerUser, ...parts }: Parts) {
  /**
   * @throws {Problem} `invalid-request`, `insufficient-scope`, `too-many-api-keys`; `invalid-credentials` or `token-revoked` if
   * the credential of the manager is no longer valid
   */
  async function create(manager: KeyManager, { name, scopes, expiresAt }: NewApiKey): Promise<CreatedApiKey> {
    requireName(name);
    requireFuture(expiresAt);
    await requireKeyScopes(scopes);
    await requireScopes(manager, scopes);
    const id = apiKeyId(uuidv7());
    const secret = newSecret();
    const key = await asOwner(manager, (owner) =>
      store.insert(owner, { id, name, scopes, expiresAt }, secret, keysPerUser),
    );
    if (key === "too-many")
      throw new Problem("too-many-api-keys", { detail: `A user may have at most ${keysPerUser} API keys.` });
    audit("api-key-created", { userId: manager.userId, apiKeyId: id });
    return { ...key, key: secret.text };
  }

  /** The newest first. The cursors are ids. */
  const list = (userId: UserId, limit: number, after: string | undefined): Promise<Page<ApiKey>> =>
    readPage(
      limit,
      (count) => store.list(userId, count, after),
      ({ id }) => id,
    );

  /** @throws {Problem} `not-found` */
  async function find(userId: UserId, id: ApiKeyId): Promise<ApiKey> {
    const key = await store.find(userId, id);
    if (!key) throw unknownKey();
    return key;
  }

  /**
   * The manager needs new scopes of the key, and all of its scopes to let it expire later.
   * @throws {Problem} `invalid-request`, `insufficient-scope`, `not-found`
   */
  async function update(manager: KeyManager, id: ApiKeyId, change: ApiKeyChange): Promise<ApiKey> {
    const { userId } = manager;
    if (change.name !== undefined) requireName(change.name);
    requireFuture(change.expiresAt ?? null);
    await requireKeyScopes(change.scopes ?? []);
    return withSeenKey(userId, id, async (key) => {
      const isGrant = change.scopes !== undefined || expiresLater(key, change);
      if (isGrant) await requireScopes(manager, change.scopes ?? key.scopes);
      const revocation = await store.update({ userId, ...key }, change);
      if (!revocation) return undefined;
      enforce(revocation);
      audit("api-key-changed", { userId, apiKeyId: id });
      return find(userId, id);
    });
  }

  /**
   * Adds a secret. The previous one is accepted for `overlapSeconds` more, at most until the key expires.
   * @throws {Problem} `insufficient-scope`, `not-found`; `invalid-credentials` or `token-revoked` if the credential of the manager
   * is no longer valid
   */
  async function rotate(manager: KeyManager, id: ApiKeyId, overlapSeconds: number): Promise<CreatedApiKey> {
    const { userId } = manager;
    const secret = newSecret();
    return withSeenKey(userId, id, async ({ scopes }) => {
      await requireScopes(manager, scopes);
      const rotated = await asOwner(manager, (owner) =>
        store.rotate(owner, { id, userId, scopes }, secret, overlapSeconds),
      );
      if (rotated === "changed") return undefined;
      enforce(rotated.revocation);
      audit("api-key-rotated", { userId, apiKeyId: id });
      return { ...rotated.key, key: secret.text };
    });
  }

  /** @throws {Problem} `not-found` */
  async function remove(userId: UserId, id: ApiKeyId): Promise<void> {
    const revocation = await store.delete(userId, id);
    if (!revocation) throw unknownKey();
    enforce(revocation);
    audit("api-key-deleted", { userId, apiKeyId: id });
  }

  /** Lists the keys of another user. @throws {Problem} `not-found` */
  async function listOfUser(userId: UserId, limit: number, after: string | undefined): Promise<Page<ApiKey>> {
    const page = await list(userId, limit, after);
    if (page.items.length === 0 && !(await store.hasUser(userId))) throw new Problem("not-found");
    return page;
  }

  /** Deletes a key of another user. @throws {Problem} `not-found`, `insufficient-scope` */
  async function removeOfUser(caller: Principal, userId: UserId, id: ApiKeyId): Promise<void> {
    await parts.requireAdministrable(caller, userId);
    await remove(userId, id);
  }

  /**
   * Deletes the key with this text, whoever owns it. Nothing tells the caller whether there was one.
   * @throws {Problem} `invalid-request` for a text that cannot be a key
   */
  async function revoke(text: string): Promise<void> {
    const digest = parseKey(text);
    if (digest === undefined) throw invalidRequest({ pointer: "#/key", detail: "is not an API key" });
    const deleted = await store.deleteByDigest(digest);
    if (!deleted) return audit("api-key-refused", { reason: "unknown" });
    enforce(deleted.revocation);
    audit("api-key-revoked", { userId: deleted.userId, apiKeyId: deleted.id });
  }

  /** Makes a change, which returns `undefined` if the credential of the manager is no longer valid. */
  async function asOwner<Result>(
    manager: KeyManager,
    change: (owner: Owner) => Promise<Result | undefined>,
  ): Promise<Result> {
    const { userId, proof } = manager;
    if (proof === "operator") {
      const result = await change({ userId, epoch: maxEpoch, isToken: false });
      if (result === undefined) throw new Problem("not-found");
      return result;
    }
    const isToken = proof === "token";
    const changeAs = ({ epoch }: { epoch: number }) => change({ userId, epoch, isToken });
    const result = await (isToken ? changeAs(manager) : withCurrentPassword(manager, changeAs));
    if (result === undefined) throw new Problem(isToken ? "token-revoked" : "invalid-credentials");
    return result;
  }

  /** Makes a change that depends on the scopes of a key, and returns `undefined` if a concurrent request has changed them. */
  const withSeenKey = <Result>(userId: UserId, id: ApiKeyId, change: (key: ApiKey) => Promise<Result | undefined>) =>
    retryOnConflict(async () => change(await find(userId, id)));

  async function requireScopes(manager: KeyManager, scopes: readonly string[]): Promise<void> {
    if (manager.proof === "operator") return;
    if (isDelegated(manager)) throw new Problem("insufficient-scope", refusal);
    await access.requireScopes(manager, scopes);
  }

  async function requireKeyScopes(scopes: readonly string[]): Promise<void> {
    const index = scopes.findIndex(isOpenIdScope);
    if (index >= 0) throw invalidRequest({ pointer: `#/scopes/${index}`, detail: "is for clients of OAuth only" });
    await requireKnownScopes(scopes, parts.findApiScopes);
  }

  function requireFuture(expiresAt: Date | null): void {
    if (expiresAt !== null && expiresAt <= clock())
      throw invalidRequest({ pointer: "#/expires_at", detail: "is not in the future" });
  }

  return { create, list, find, update, rotate, remove, listOfUser, removeOfUser, revoke };
}

const unknownKey = () => new Problem("not-found", { detail: "The user has no API key with this id." });

const expiresLater = (key: ApiKey, { expiresAt }: ApiKeyChange): boolean =>
  expiresAt !== undefined && key.expiresAt !== null && (expiresAt === null || expiresAt > key.expiresAt);

function requireName(name: string): void {
  const pointer = "#/name";
  requireDisplayable(name, pointer);
  if (name.trim() !== name) throw invalidRequest({ pointer, detail: "has a space at an end" });
}

/** A key would outlive what the user allows the client. */
const refusal = { scope: "account:write", detail: "A client cannot create, extend or rotate an API key of its user." };
