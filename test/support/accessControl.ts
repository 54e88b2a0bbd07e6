/** Access control without a running service. Nothing tells its caches about changes. */
import { createGrants, type Grants } from "../../src/access/grants.ts";
import { createAccess } from "../../src/access/rights.ts";
import { apiStore, rightsStore } from "../../src/access/store.ts";
import type { Database } from "../../src/database/database.ts";

export function grantsOn(database: Database): Grants {
  const revocations = { onEntry: () => {}, requireCurrent: () => {} };
  const access = createAccess({ store: rightsStore(database), revocations, audit: () => {} });
  return createGrants({
    store: apiStore(database),
    access,
    revocations,
    issuer: "https://latchkey.example",
    ttlSeconds: 600,
  });
}
