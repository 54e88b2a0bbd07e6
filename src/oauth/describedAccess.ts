/** What a client asks for, in words for the user who decides. */
import { scopes as ownScopes } from "../../generated/scopes.ts";
import type { Apis } from "../access/apis.ts";
import { isOwnScope } from "../access/scopes.ts";
import { Problem } from "../problems/problems.ts";
import type { RequestedAccess } from "./requestedAccess.ts";

export type DescribedScope = { name: string; description: string };

export type DescribedAccess = {
  /** The name of the API that the access is for; `undefined` for this service. */
  api: string | undefined;
  scopes: readonly DescribedScope[];
};

/** @throws {Problem} `database-unavailable` */
export type DescribeAccess = (access: RequestedAccess) => Promise<DescribedAccess>;

/** @param issuer the audience of this service */
export const createDescribeAccess =
  ({ apis, issuer }: { apis: Pick<Apis, "find">; issuer: string }): DescribeAccess =>
  async ({ audience, scopes }) => {
    const api = audience === issuer ? undefined : await findApi(apis, audience);
    const ofApi = new Map(api?.scopes.map(({ name, description }) => [name, description]));
    // A scope whose API was deleted meanwhile allows nothing any more.
    const described = scopes.map((name) => ({ name, description: descriptionOf(name) ?? ofApi.get(name) ?? name }));
    return { api: audience === issuer ? undefined : (api?.name ?? audience), scopes: described };
  };

/** Its description, if it is a scope of this service. */
function descriptionOf(scope: string): string | undefined {
  const descriptions: Record<string, string> = ownScopes;
  return isOwnScope(scope) ? descriptions[scope] : undefined;
}

async function findApi(apis: Pick<Apis, "find">, audience: string) {
  try {
    return await apis.find(audience);
  } catch (error) {
    if (error instanceof Problem && error.slug === "not-found") return undefined;
    throw error;
  }
}
