/** The APIs of other services, for which users get tokens (RFC 6749: resource servers). */
import type { Audit } from "../audit/audit.ts";
import { type Page, readPage } from "../lib/page.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";
import type { Revocation } from "../revocations/revocations.ts";
import { type GivenContract, readApiContract, requireScopesOfContract } from "./apiContract.ts";
import { requireDisplayable } from "./displayText.ts";
import { isOwnScope } from "./scopes.ts";

/** The subject of the revocation entry that every change of an API writes. */
export const apiSubject = (audience: string) => `api:${audience}` as const;

export type ApiScope = { name: string; description: string };

export type ApiDefinition = {
  audience: string;
  /** For people. */
  name: string;
  scopes: ApiScope[];
  /** `null`: the default of the service. */
  tokenTtlSeconds: number | null;
};

/** What a client gives for a new API. */
export type NewApi = ApiDefinition & { contract?: GivenContract | undefined };

export type Api = ApiDefinition & {
  hasContract: boolean;
  /** Drawn anew by each change. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
};

/** What is absent stays as it is. */
export type ApiChange = Partial<Omit<ApiDefinition, "audience">> & {
  /** `null` removes it. */
  contract?: GivenContract | null;
};

/** What a store is given: a contract is in the form that `readApiContract` returns. */
type Stored<Definition> = Omit<Definition, "contract"> & { contract?: string | null };

export type ApiStore = {
  /** In the order of their audiences. */
  list(limit: number, after: string | undefined): Promise<Api[]>;
  find(audience: string): Promise<Api | undefined>;
  /** @returns the scopes and the contract; `undefined` if there is no such API */
  findContract(audience: string): Promise<{ scopes: ApiScope[]; contract: string | null } | undefined>;
  /** @returns `undefined` if there is such an API */
  insert(api: Stored<NewApi>): Promise<Api | undefined>;
  /** @returns the API and the revocation from the same transaction; `undefined` if there is no such API */
  update(audience: string, change: Stored<ApiChange>): Promise<{ api: Api; changed: Revocation } | undefined>;
  /** @returns the revocation from the same transaction; `undefined` if there is no such API */
  delete(audience: string): Promise<Revocation | undefined>;
};

export type Apis = ReturnType<typeof createApis>;

type Parts = {
  store: ApiStore;
  /** The audiences of this service itself. */
  ownAudiences: readonly string[];
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  audit: Audit;
};

export function createApis({ store, ownAudiences, enforce, audit }: Parts) {
  /** In the order of the audiences, which are the cursors. */
  const list = (limit: number, after?: string): Promise<Page<Api>> =>
    readPage(
      limit,
      (count) => store.list(count, after),
      ({ audience }) => audience,
    );

  /** @throws {Problem} `not-found` */
  async function find(audience: string): Promise<Api> {
    const api = await store.find(audience);
    if (!api) throw unknownApi();
    return api;
  }

  /** @throws {Problem} `audience-taken`, `invalid-request` for scopes or a contract that an API cannot have */
  async function create({ contract: given, ...definition }: NewApi): Promise<Api> {
    const { audience, name, scopes } = definition;
    requireDisplayable(name, "#/name");
    requireUsableNames(scopes);
    const contract = given === undefined ? null : await readApiContract(given, namesOf(scopes));
    const api = ownAudiences.includes(audience) ? undefined : await store.insert({ ...definition, contract });
    if (!api) throw new Problem("audience-taken");
    audit("api-created", { audience, scope: namesOf(scopes).join(" ") });
    return api;
  }

  /** @throws {Problem} `not-found`, `invalid-request` for scopes or a contract that an API cannot have */
  async function update(audience: string, change: ApiChange): Promise<Api> {
    if (change.name !== undefined) requireDisplayable(change.name, "#/name");
    if (change.scopes) requireUsableNames(change.scopes);
    const updated = await store.update(audience, await withReadContract(audience, change));
    if (!updated) throw unknownApi();
    enforce(updated.changed);
    audit("api-changed", { audience, scope: namesOf(updated.api.scopes).join(" ") });
    return updated.api;
  }

  /** @throws {Problem} `not-found` */
  async function remove(audience: string): Promise<void> {
    const changed = await store.delete(audience);
    if (!changed) throw unknownApi();
    enforce(changed);
    audit("api-deleted", { audience });
  }

  /** A concurrent change may take away a scope that the contract requires. Then forward-auth rejects all requests. */
  async function withReadContract(
    audience: string,
    { contract: given, ...change }: ApiChange,
  ): Promise<Stored<ApiChange>> {
    if (given === null) return { ...change, contract: null };
    if (given === undefined && change.scopes === undefined) return change;
    const current = await store.findContract(audience);
    if (!current) throw unknownApi();
    const scopes = namesOf(change.scopes ?? current.scopes);
    if (given !== undefined) return { ...change, contract: await readApiContract(given, scopes) };
    if (current.contract !== null) requireScopesOfContract(current.contract, scopes);
    return change;
  }

  return { list, find, create, update, remove };
}

const unknownApi = () => new Problem("not-found", { detail: "No API with this audience is registered." });

const namesOf = (scopes: readonly ApiScope[]): string[] => scopes.map(({ name }) => name);

/** A role with a scope must not allow something else than its name says: scopes of this service are not those of an API. */
function requireUsableNames(scopes: readonly ApiScope[]): void {
  const names = namesOf(scopes);
  for (const [index, { name, description }] of scopes.entries()) {
    const pointer = `#/scopes/${index}/name`;
    requireDisplayable(description, `#/scopes/${index}/description`);
    if (isOwnScope(name)) throw invalidRequest({ pointer, detail: `${name} is a scope of this service` });
    if (names.indexOf(name) < index) throw invalidRequest({ pointer, detail: `${name} occurs twice` });
  }
}
