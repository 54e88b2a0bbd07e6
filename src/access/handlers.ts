import type { components } from "../../generated/openapi.ts";
import type { Handler } from "../openapi/binding.ts";
import type { Api, Apis } from "./apis.ts";
import { isBuiltIn, type Role, type Roles } from "./roles.ts";

const defaultLimit = 20;

export const listRoles =
  (roles: Roles): Handler<"listRoles"> =>
  async ({ query }) => {
    const page = await roles.list(query?.limit ?? defaultLimit, query?.after);
    return { status: 200, body: { roles: page.items.map(representRole), next: page.next ?? null } };
  };

export const getRole =
  (roles: Roles): Handler<"getRole"> =>
  async ({ path }) => ({ status: 200, body: representRole(await roles.find(path.name)) });

/** @param publicUrl the prefix of the `Location` header; empty for a path on this host */
export const putRole =
  (roles: Roles, publicUrl = ""): Handler<"putRole"> =>
  async ({ principal, path: { name }, body: { description = "", scopes } }) => {
    const { role, isNew } = await roles.put(principal, { name, description, scopes });
    const body = representRole(role);
    return isNew
      ? { status: 201, headers: { Location: `${publicUrl}/api/roles/${name}` }, body }
      : { status: 200, body };
  };

export const deleteRole =
  (roles: Roles): Handler<"deleteRole"> =>
  async ({ principal, path }) => {
    await roles.remove(principal, path.name);
    return { status: 204 };
  };

export const listApis =
  (apis: Apis): Handler<"listApis"> =>
  async ({ query }) => {
    const page = await apis.list(query?.limit ?? defaultLimit, query?.after);
    return { status: 200, body: { apis: page.items.map(representApi), next: page.next ?? null } };
  };

export const getApi =
  (apis: Apis): Handler<"getApi"> =>
  async ({ path }) => ({ status: 200, body: representApi(await apis.find(path.audience)) });

/** @param publicUrl as in `putRole` */
export const createApi =
  (apis: Apis, publicUrl = ""): Handler<"createApi"> =>
  async ({ body: { audience, name, scopes, token_lifetime_seconds: tokenTtlSeconds = null, contract } }) => {
    const api = await apis.create({ audience, name, scopes, tokenTtlSeconds, contract });
    const headers = { Location: `${publicUrl}/api/apis/${encodeURIComponent(audience)}` };
    return { status: 201, headers, body: representApi(api) };
  };

export const updateApi =
  (apis: Apis): Handler<"updateApi"> =>
  async ({ path, body: { name, scopes, token_lifetime_seconds: tokenTtlSeconds, contract } }) => {
    const change = {
      ...(name !== undefined && { name }),
      ...(scopes !== undefined && { scopes }),
      ...(tokenTtlSeconds !== undefined && { tokenTtlSeconds }),
      ...(contract !== undefined && { contract }),
    };
    return { status: 200, body: representApi(await apis.update(path.audience, change)) };
  };

export const deleteApi =
  (apis: Apis): Handler<"deleteApi"> =>
  async ({ path }) => {
    await apis.remove(path.audience);
    return { status: 204 };
  };

export const representRole = ({
  name,
  description,
  scopes,
  createdAt,
  updatedAt,
}: Role): components["schemas"]["Role"] => ({
  name,
  description,
  scopes,
  built_in: isBuiltIn(name),
  created_at: createdAt.toISOString(),
  updated_at: updatedAt.toISOString(),
});

export const representApi = (api: Api): components["schemas"]["Api"] => ({
  audience: api.audience,
  name: api.name,
  scopes: api.scopes,
  token_lifetime_seconds: api.tokenTtlSeconds,
  has_contract: api.hasContract,
  created_at: api.createdAt.toISOString(),
  updated_at: api.updatedAt.toISOString(),
});
