/** The APIs for which proxies ask, with their contracts, in memory until they change. */
import { type Contract, parseContract } from "../../packages/verify/src/contract/contract.ts";
import { type ApiStore, apiSubject } from "../access/apis.ts";
import { Problem } from "../problems/problems.ts";
import { type RevocableCache, revocableCache } from "../revocations/cache.ts";
import type { Revocations } from "../revocations/revocations.ts";

export type ProtectedApi = {
  audience: string;
  scopes: ReadonlySet<string>;
  /** `undefined` if the API has none. */
  contract: Contract | undefined;
};

type Parts = { store: Pick<ApiStore, "findContract">; revocations: Pick<Revocations, "onEntry"> };

/** The cache keeps at least this number of APIs. A contract takes about 1 KB for each operation. */
const maxApis = 100;

/** @returns a cache by audience. It throws `invalid-target` for an audience that is not registered, and `database-unavailable` */
export const protectedApis = ({ store, revocations }: Parts): RevocableCache<ProtectedApi> =>
  revocableCache<ProtectedApi>({
    revocations,
    async load(audience) {
      const api = await store.findContract(audience);
      if (!api) throw unknownAudience();
      return {
        audience,
        scopes: new Set(api.scopes.map(({ name }) => name)),
        contract: api.contract === null ? undefined : parseContract(JSON.parse(api.contract)),
      };
    },
    subjectsOf: (audience) => [apiSubject(audience)],
    maxSize: maxApis,
  });

const unknownAudience = () => new Problem("invalid-target", { detail: "No API with this audience is registered." });
