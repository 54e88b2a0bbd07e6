/** The types of the store for the administration of clients. */
import type { ClientId, ClientSecretId } from "../../identifiers.ts";
import type { NewSecret } from "../../lib/secretText.ts";
import type { Revocation } from "../../revocations/revocations.ts";
import type { ClientDefinition, ClientSecret, RegisteredClient, Registration } from "../storeTypes.ts";

/** A client as the caller has seen it, whose scopes the caller was allowed to use. */
export type SeenClient = { id: ClientId; version: number };

export type NewRow = ClientDefinition & { id: ClientId; registration: Registration };
export type NewClientSecret = NewSecret & { id: ClientSecretId };

/** Each method may throw the problem `database-unavailable`. */
export type ClientAdministrationStore = {
  /** In the order of their ids. */
  list(limit: number, after: string | undefined): Promise<RegisteredClient[]>;
  find(id: ClientId): Promise<RegisteredClient | undefined>;
  /** Stores a client, with its first secret if it has one. */
  insert(client: NewRow, secret: NewClientSecret | undefined): Promise<RegisteredClient>;
  /**
   * Replaces what is registered, except how the client authenticates.
   * @param revokesTokens whether the tokens of the client are revoked
   * @returns `undefined` if the client was changed or deleted meanwhile
   */
  replace(seen: SeenClient, next: ClientDefinition, revokesTokens: boolean): Promise<Revocation | undefined>;
  /** @returns `undefined` if the client was changed or deleted meanwhile */
  delete(seen: SeenClient): Promise<Revocation | undefined>;
  /** @returns `undefined` if the client was changed or deleted meanwhile; `"too-many"` if it has as many secrets as it may have */
  insertSecret(
    seen: SeenClient,
    secret: NewClientSecret,
  ): Promise<{ secret: ClientSecret; changed: Revocation } | "too-many" | undefined>;
  /** @returns `undefined` if there is no such secret, or the client was changed meanwhile */
  deleteSecret(seen: SeenClient, id: ClientSecretId): Promise<Revocation | undefined>;
  /** @returns those of the audiences that are registered */
  findAudiences(audiences: readonly string[]): Promise<string[]>;
};
