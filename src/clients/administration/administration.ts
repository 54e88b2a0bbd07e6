/** The administration of clients: their registration, changes, secrets and deletion. */
import { v7 as uuidv7 } from "uuid";
import type { Access } from "../../access/rights.ts";
import type { Editor } from "../../access/roles.ts";
import { requireKnownScopes } from "../../access/scopes.ts";
import type { Audit } from "../../audit/audit.ts";
import { type ClientId, type ClientSecretId, clientId, clientSecretId } from "../../identifiers.ts";
import { type Page, readPage } from "../../lib/page.ts";
import { retryOnConflict } from "../../lib/retryOnConflict.ts";
import { invalidRequest, Problem } from "../../problems/problems.ts";
import type { Revocation } from "../../revocations/revocations.ts";
import { requireUsable } from "../definition.ts";
import { maxSecrets, newClientSecret } from "../secrets.ts";
import type { ClientDefinition, ClientSecret, RegisteredClient } from "../storeTypes.ts";
import type { ClientAdministrationStore } from "./storeTypes.ts";

export type ClientAdministration = ReturnType<typeof createClientAdministration>;

/** What is absent stays as it is. */
export type ClientChange = Partial<Omit<ClientDefinition, "authentication">>;

/** Whether the client is in the state that the caller expects. */
type IsExpected = (client: RegisteredClient) => boolean;

type Parts = {
  store: ClientAdministrationStore;
  access: Pick<Access, "requireScopes">;
  /** @returns those of the scopes that a registered API has */
  findApiScopes(scopes: string[]): Promise<string[]>;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  audit: Audit;
};

/** Ids of clients are sortable, and never those of users. */
export const newClientId = (): ClientId => clientId(`lkc_${uuidv7().replaceAll("-", "")}`);

export function createClientAdministration({ store, access, findApiScopes, enforce, audit }: Parts) {
  /** In the order of the ids, which are the cursors. */
  const list = (limit: number, after?: string): Promise<Page<RegisteredClient>> =>
    readPage(
      limit,
      (count) => store.list(count, after),
      ({ id }) => id,
    );

  /** @throws {Problem} `not-found` */
  async function find(id: ClientId): Promise<RegisteredClient> {
    const client = await store.find(id);
    if (!client) throw new Problem("not-found");
    return client;
  }

  /**
   * @returns the client, and its secret if it has one
   * @throws {Problem} `invalid-request`; `insufficient-scope` if the editor does not have a scope of the client
   */
  async function create(
    editor: Editor,
    definition: ClientDefinition,
  ): Promise<{ client: RegisteredClient; secret: string | undefined }> {
    requireUsable(definition);
    await requireKnown(definition, { scopes: [], audiences: [] });
    await requireHeld(editor, definition.scopes);
    const secret = definition.authentication === "client_secret" ? newSecret() : undefined;
    const client = await store.insert({ ...definition, id: newClientId(), registration: "administrator" }, secret);
    audit("client-created", { clientId: client.id, scope: client.scopes.join(" ") });
    return { client, secret: secret?.text };
  }

  /**
   * @throws {Problem} `invalid-request`, `not-found`, `precondition-failed`; `insufficient-scope` if the editor does not have a
   * scope that the client gets or had; `overloaded`
   */
  async function update(
    editor: Editor,
    id: ClientId,
    { change, isExpected }: { change: ClientChange; isExpected: IsExpected },
  ): Promise<RegisteredClient> {
    const changed = await retryOnConflict(async () => {
      const before = await findExpected(id, isExpected);
      const next = { ...before, ...change };
      requireUsable(next, before.name);
      await requireKnown(next, before);
      await requireHeld(editor, new Set([...next.scopes, ...before.scopes]));
      return store.replace(before, next, losesRights(before, next));
    });
    enforce(changed);
    const client = await find(id);
    audit("client-changed", { clientId: id, scope: client.scopes.join(" ") });
    return client;
  }

  /** @throws {Problem} `not-found`, `precondition-failed`, `insufficient-scope`, `overloaded` */
  async function remove(editor: Editor, id: ClientId, isExpected: IsExpected): Promise<void> {
    const deleted = await retryOnConflict(async () => {
      const client = await findExpected(id, isExpected);
      await requireHeld(editor, client.scopes);
      return store.delete(client);
    });
    enforce(deleted);
    audit("client-deleted", { clientId: id });
  }

  /**
   * Adds a secret. The editor needs all scopes of the client, because the secret can use them.
   * @returns the secret with its text, which is not stored
   * @throws {Problem} `not-found`, `insufficient-scope`, `too-many-client-secrets`, `overloaded`
   */
  async function addSecret(editor: Editor, id: ClientId): Promise<ClientSecret & { text: string }> {
    const added = await retryOnConflict(async () => {
      const client = await find(id);
      await requireHeld(editor, client.scopes);
      if (client.authentication !== "client_secret")
        throw new Problem("too-many-client-secrets", { detail: "The client authenticates without a secret." });
      // This check does not take the insertion's lock, so that many requests beyond the limit do not wait for each other.
      if (client.secrets.length >= maxSecrets) throw tooManySecrets();
      const secret = newSecret();
      const inserted = await store.insertSecret(client, secret);
      if (inserted === "too-many") throw tooManySecrets();
      return inserted && { ...inserted, text: secret.text };
    });
    enforce(added.changed);
    audit("client-secret-created", { clientId: id, clientSecretId: added.secret.id });
    return { ...added.secret, text: added.text };
  }

  /** @throws {Problem} `not-found`, `insufficient-scope`, `overloaded` */
  async function removeSecret(editor: Editor, id: ClientId, secretId: ClientSecretId): Promise<void> {
    const deleted = await retryOnConflict(async () => {
      const client = await find(id);
      await requireHeld(editor, client.scopes);
      if (!client.secrets.some((secret) => secret.id === secretId)) throw new Problem("not-found");
      return store.deleteSecret(client, secretId);
    });
    enforce(deleted);
    audit("client-secret-deleted", { clientId: id, clientSecretId: secretId });
  }

  async function findExpected(id: ClientId, isExpected: IsExpected): Promise<RegisteredClient> {
    const client = await find(id);
    if (!isExpected(client)) throw new Problem("precondition-failed");
    return client;
  }

  /** Accepts scopes and audiences that the client already has, even if their API was deleted. */
  async function requireKnown(
    { scopes, audiences }: ClientDefinition,
    before: Pick<ClientDefinition, "scopes" | "audiences">,
  ): Promise<void> {
    await requireKnownScopes(scopes, async (others) => [...before.scopes, ...(await findApiScopes(others))]);
    const added = audiences.filter((audience) => !before.audiences.includes(audience));
    const known = added.length > 0 ? await store.findAudiences(added) : [];
    const unknown = added.find((audience) => !known.includes(audience));
    if (unknown !== undefined) {
      const pointer = `#/audiences/${audiences.indexOf(unknown)}`;
      throw invalidRequest({ pointer, detail: "is not the audience of a registered API" });
    }
  }

  async function requireHeld(editor: Editor, scopes: Iterable<string>): Promise<void> {
    if (editor !== "operator") await access.requireScopes(editor, [...scopes]);
  }

  return { list, find, create, update, remove, addSecret, removeSecret };
}

const tooManySecrets = () =>
  new Problem("too-many-client-secrets", { detail: "The client has two secrets. Delete one of them." });

const newSecret = () => ({ ...newClientSecret(), id: clientSecretId(uuidv7()) });

/** Whether tokens allow something that the client may no longer do. */
const losesRights = (before: ClientDefinition, next: ClientDefinition): boolean =>
  (["scopes", "audiences", "grantTypes"] as const).some((member) => {
    const kept = new Set<string>(next[member]);
    return before[member].some((one) => !kept.has(one));
  });
