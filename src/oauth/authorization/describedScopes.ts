/** What scopes allow, in words for users. */
import { scopes as ownScopes } from "../../../generated/scopes.ts";
import type { Api } from "../../access/apis.ts";
import type { RequestedAccess } from "../requestedAccess.ts";

export type DescribedScope = { name: string; description: string };

/** @throws {Problem} `database-unavailable` */
export type DescribeAccess = (
  access: RequestedAccess,
) => Promise<{ scopes: readonly DescribedScope[]; apiName: string | undefined }>;

type Parts = { findApi(audience: string): Promise<Pick<Api, "name" | "scopes"> | undefined>; issuer: string };

export const createDescriptions =
  ({ findApi, issuer }: Parts): DescribeAccess =>
  async ({ audience, scopes }) => {
    const api = audience === issuer ? undefined : await findApi(audience);
    const described = new Map([
      ...Object.entries<string>(ownScopes),
      ...(api?.scopes ?? []).map(({ name, description }) => [name, description] as const),
    ]);
    return {
      scopes: scopes.map((name) => ({ name, description: described.get(name) ?? name })),
      apiName: api?.name,
    };
  };
