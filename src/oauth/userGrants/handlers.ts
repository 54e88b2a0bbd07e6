import type { components } from "../../../generated/openapi.ts";
import { grantId } from "../../identifiers.ts";
import type { Handler } from "../../openapi/binding.ts";
import { Problem } from "../../problems/problems.ts";
import type { UserGrant } from "./storeTypes.ts";
import type { UserGrants } from "./userGrants.ts";

export const listGrants =
  (grants: UserGrants): Handler<"listGrants"> =>
  async ({ principal, query }) => {
    const page = await grants.list(principal.userId, query?.limit ?? 20, query?.cursor);
    return { status: 200, body: { grants: page.items.map(represent), next_cursor: page.next ?? null } };
  };

export const deleteGrant =
  (grants: UserGrants): Handler<"deleteGrant"> =>
  async ({ principal, path }) => {
    if (!(await grants.delete(principal.userId, grantId(path.id.toLowerCase())))) throw new Problem("not-found");
    return { status: 204 };
  };

const represent = (grant: UserGrant): components["schemas"]["Grant"] => ({
  id: grant.id,
  client_id: grant.clientId,
  client_name: grant.clientName,
  audience: grant.audience,
  scopes: grant.scopes,
  created_at: grant.createdAt.toISOString(),
  updated_at: grant.updatedAt.toISOString(),
});
