/** Access control without a running service. Nothing tells its caches about changes. */
import { createGrants, type Grants } from "../../src/access/grants.ts";
import { createAccess } from "../../src/access/rights.ts";
import { apiStore, rightsStore } from "../../src/access/store.ts";
import type { Database } from "../../src/database/database.ts";
import type { TestService } from "./service.ts";

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

/** Replaces the roles of a user. The running instances learn of it as of every change. */
export const setRoles = (service: Pick<TestService, "sql">, userId: string, roles: string[]): Promise<unknown> =>
  service.sql(
    `WITH changed AS (UPDATE users SET version = version + 1 WHERE id = $1 RETURNING id, version),
       taken AS (DELETE FROM user_roles WHERE user_id = $1 AND role <> ALL ($2)),
       given AS (INSERT INTO user_roles SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING)
     INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
       SELECT 'rights:' || id, version, now() + interval '1 hour', true FROM changed
     ON CONFLICT (subject) WHERE is_unique
       DO UPDATE SET minimum_epoch = excluded.minimum_epoch, xid = pg_current_xact_id()`,
    [userId, roles],
  );
