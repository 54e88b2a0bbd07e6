/** The APIs for which proxies ask, with their contracts, in memory until they change. */
import type { Contract } from "../../packages/verify/src/contract/contract.ts";
import { parseStoredContract } from "../access/apiContract.ts";
import { type ApiStore, apiSubject } from "../access/apis.ts";
import { Problem } from "../problems/problems.ts";
import { type RevocableCache, revocableCache } from "../revocations/cache.ts";
import type { Revocations } from "../revocations/revocations.ts";

export type ProtectedApi = {
  audience: string;
  scopes: ReadonlySet<string>;
  /** `undefined` if the API has none. `unusable` if this version cannot enforce it: then no request may pass. */
  contract: Contract | "unusable" | undefined;
};

type Parts = {
  store: Pick<ApiStore, "findContract">;
  revocations: Pick<Revocations, "onEntry">;
  /** Called once for an API, until its contract can be enforced again. */
  onUnusable(audience: string, error: unknown): void;
};

/** The cache keeps at least this number of APIs. A contract takes about 1 KB for each operation. */
const maxApis = 100;

/** @returns a cache by audience. It throws `invalid-target` for an audience that is not registered, and `database-unavailable` */
export function protectedApis({ store, revocations, onUnusable }: Parts): RevocableCache<ProtectedApi> {
  const reported = new Set<string>();

  const read = (audience: string, contract: string, scopes: ReadonlySet<string>): ProtectedApi["contract"] => {
    try {
      const parsed = parseStoredContract(contract, scopes);
      reported.delete(audience);
      return parsed;
    } catch (error) {
      if (!reported.has(audience)) onUnusable(audience, error);
      reported.add(audience);
      return "unusable";
    }
  };

  return revocableCache<ProtectedApi>({
    revocations,
    async load(audience) {
      const api = await store.findContract(audience);
      if (!api) throw unknownAudience();
      const scopes = new Set(api.scopes.map(({ name }) => name));
      const contract = api.contract === null ? undefined : read(audience, api.contract, scopes);
      return { audience, scopes, contract };
    },
    subjectsOf: (audience) => [apiSubject(audience)],
    maxSize: maxApis,
  });
}

const unknownAudience = () => new Problem("invalid-target", { detail: "No API with this audience is registered." });
