import type { Knex } from "knex";
import type { Database } from "../database/database.ts";
import { lockUntilCommit } from "../database/locks.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { bigint, boolean, double, integer, nullable, snapshot, text, timestamptz, xid8 } from "../database/sqlTypes.ts";
import { commitSomething } from "../database/writable.ts";
import type { RevocationStore } from "../revocations/revocations.ts";
import { revocationColumns, revoke, selectedRevocation } from "../revocations/sql.ts";
import { preparedBeforeSigningSeconds, publishedBeforeSigningSeconds, type SigningKeyStore } from "./signingKeys.ts";

const keyColumns = {
  kid: text,
  privateJwe: text,
  createdAt: timestamptz,
  activatesAt: timestamptz,
  revokedAt: nullable(timestamptz),
};
const selectedKey = `kid, private_jwe AS "privateJwe", created_at AS "createdAt", activates_at AS "activatesAt",
  revoked_at AS "revokedAt"`;

const findSigningKeys = statement({
  name: "find-signing-keys",
  sql: `SELECT ${selectedKey} FROM signing_keys ORDER BY activates_at DESC, kid`,
  columns: keyColumns,
});

const readTime = statement({ name: "read-time", sql: "SELECT now() AS now", columns: { now: timestamptz } });

const lacksNextKey = statement({
  name: "lacks-next-key",
  sql: `SELECT NOT EXISTS (SELECT FROM signing_keys WHERE revoked_at IS NULL
          AND activates_at > now() + make_interval(secs => ${preparedBeforeSigningSeconds})) AS lacks`,
  columns: { lacks: boolean },
});

/** Unless the next key is there already. The first key signs at once. */
const insertNextKey = statement({
  name: "insert-next-key",
  sql: `INSERT INTO signing_keys (kid, private_jwe, activates_at)
    SELECT :kid, :privateJwe, CASE WHEN last IS NULL THEN now() ELSE
      greatest(now() + make_interval(secs => ${publishedBeforeSigningSeconds}), last + make_interval(secs => :rotationSeconds)) END
    FROM (SELECT max(activates_at) AS last FROM signing_keys WHERE revoked_at IS NULL) AS existing
    WHERE last IS NULL OR last <= now() + make_interval(secs => ${preparedBeforeSigningSeconds})`,
  parameters: { kid: text, privateJwe: text, rotationSeconds: double },
});

const publishedLongEnough = `greatest(now(), created_at + make_interval(secs => ${publishedBeforeSigningSeconds}))`;

/** With `rotationSeconds`, only if no other key began to sign within that time, or is about to. */
const advanceNextKey = statement({
  name: "advance-next-key",
  sql: `UPDATE signing_keys SET activates_at = ${publishedLongEnough}
    WHERE kid = (SELECT kid FROM signing_keys WHERE revoked_at IS NULL ORDER BY activates_at DESC, kid LIMIT 1)
      AND activates_at > ${publishedLongEnough}
      AND (:rotationSeconds IS NULL OR NOT EXISTS (
        SELECT FROM signing_keys WHERE revoked_at IS NULL
          AND activates_at > now() - make_interval(secs => :rotationSeconds)
          AND activates_at <= now() + make_interval(secs => ${preparedBeforeSigningSeconds})))
    RETURNING ${selectedKey}`,
  parameters: { rotationSeconds: nullable(double) },
  columns: keyColumns,
});

/** Makes the next key sign now. */
const promotion = `UPDATE signing_keys SET activates_at = now()
  WHERE kid = (SELECT kid FROM signing_keys WHERE revoked_at IS NULL AND activates_at > now()
               ORDER BY activates_at, kid DESC LIMIT 1)`;
const signing = `SELECT kid FROM signing_keys WHERE revoked_at IS NULL AND activates_at <= now()
  ORDER BY activates_at DESC, kid LIMIT 1`;

const promoteNextKey = statement({ name: "promote-next-key", sql: promotion });
const promoteNextKeyIfNoneSigns = statement({
  name: "promote-next-key-if-none-signs",
  sql: `${promotion} AND NOT EXISTS (${signing})`,
});

const isSigningKey = statement({
  name: "is-signing-key",
  sql: `SELECT coalesce(:kid = (${signing}), false) AS signs`,
  parameters: { kid: text },
  columns: { signs: boolean },
});

const revokeSigningKey = statement({
  name: "revoke-signing-key",
  sql: `WITH revoked AS (
      UPDATE signing_keys SET revoked_at = now() WHERE kid = :kid AND revoked_at IS NULL RETURNING kid
    )
    ${revoke({ from: "revoked", subject: "kid" })}`,
  parameters: { kid: text },
  columns: revocationColumns,
});

const resealSigningKey = statement({
  name: "reseal-signing-key",
  sql: "UPDATE signing_keys SET private_jwe = :privateJwe WHERE kid = :kid",
  parameters: { kid: text, privateJwe: text },
});

export function signingKeyStore(database: Database): SigningKeyStore {
  /** Changes the keys while nobody else does. */
  const changingKeys = <T>(change: (transaction: Knex.Transaction) => Promise<T>): Promise<T> =>
    database.write((knex) =>
      knex.transaction(async (transaction) => {
        await lockUntilCommit(transaction, "signingKeys");
        return change(transaction);
      }),
    );

  return {
    findAll: () => database.read((knex) => findSigningKeys.rows(knex)),

    now: async () => (await database.read((knex) => readTime.one(knex))).now,

    lacksSuccessor: async () => (await database.read((knex) => lacksNextKey.one(knex))).lacks,

    append: ({ kid, privateJwe }, rotationSeconds) =>
      changingKeys(
        async (transaction) => (await insertNextKey.count(transaction, { kid, privateJwe, rotationSeconds })) === 1,
      ),

    advance: (rotationSeconds) =>
      changingKeys((transaction) => advanceNextKey.first(transaction, { rotationSeconds: rotationSeconds ?? null })),

    async promote() {
      await changingKeys((transaction) => promoteNextKeyIfNoneSigns.count(transaction));
    },

    async reseal({ kid, privateJwe }) {
      await database.write((knex) => resealSigningKey.count(knex, { kid, privateJwe }));
    },

    revoke: (kid) =>
      changingKeys(async (transaction) => {
        const { signs } = await isSigningKey.one(transaction, { kid });
        const revocation = await revokeSigningKey.first(transaction, { kid });
        // Only if the signing key was revoked: verifiers already know the next key.
        if (signs) await promoteNextKey.count(transaction);
        return revocation;
      }),
  };
}

/**
 * Up to where somebody has read: the snapshot, and the start of the server that it is of. Another
 * server (after a failover) may lack transactions and give their numbers to others.
 */
type Cursor = { server: string; snapshot: string };
const cursorColumns = { server: text, snapshot: text };
const selectedCursor = "pg_postmaster_start_time()::text AS server, pg_current_snapshot()::text AS snapshot";

const pageSize = 10_000;

const readCursor = statement({ name: "read-cursor", sql: `SELECT ${selectedCursor}`, columns: cursorColumns });

const findRevocations = statement({
  name: "find-revocations",
  sql: `SELECT id, ${selectedRevocation} FROM revocations
    WHERE id > :last AND expires_at > now() ORDER BY id LIMIT ${pageSize}`,
  parameters: { last: bigint },
  columns: { id: bigint, ...revocationColumns },
});

/**
 * The revocations that were not visible in a snapshot: those of transactions that began later, or were under way. If
 * there is none, the only row has no more than the cursor.
 */
const findNewRevocations = statement({
  name: "find-new-revocations",
  sql: `SELECT ${selectedCursor}, xid, id, ${selectedRevocation}
    FROM (SELECT) AS always
    LEFT JOIN (
      SELECT * FROM revocations
      WHERE (xid >= pg_snapshot_xmax(:snapshot) OR xid = ANY(ARRAY(SELECT pg_snapshot_xip(:snapshot))))
        AND (xid, id) > (:xid, :id) AND expires_at > now()
      ORDER BY xid, id LIMIT ${pageSize}
    ) AS page ON true`,
  parameters: { snapshot, xid: xid8, id: bigint },
  columns: {
    ...cursorColumns,
    xid: nullable(xid8),
    id: nullable(bigint),
    subject: nullable(text),
    minimumEpoch: nullable(integer),
    expiresAt: nullable(timestamptz),
  },
});

const insertRevocation = statement({
  name: "insert-revocation",
  sql: revoke({ subject: ":subject", minimumEpoch: ":minimumEpoch", expiresAt: ":expiresAt" }),
  parameters: revocationColumns,
  columns: revocationColumns,
});

type RevocationParts = {
  /** Called with each snapshot of the database that is read, and when it was asked for (`performance.now()`). */
  saw?: (server: string, snapshot: string, atMs: number) => void;
  /** What requests write by. The list is followed by the other one, which no request can keep waiting. */
  ofRequests?: Database;
  /** Commits something, and returns on which server: its postmaster's start time. */
  commit?: () => Promise<string>;
  /** Makes the connections anew: those that are followed, written and committed by. */
  renew?: () => void;
};

export function revocationStore(
  database: Database,
  {
    saw = () => {},
    ofRequests = database,
    commit = () => commitSomething(database),
    renew = database.renew,
  }: RevocationParts = {},
): RevocationStore {
  return {
    async readAll(take) {
      const began = performance.now();
      // The cursor is from before the first page: what commits during the reading is read again.
      const cursor = await database.read((knex) => readCursor.one(knex));
      saw(cursor.server, cursor.snapshot, began);
      for (let last = "0"; ; ) {
        const page = await database.read((knex) => findRevocations.rows(knex, { last }));
        take(page);
        if (page.length < pageSize) return JSON.stringify(cursor);
        last = page.at(-1)?.id ?? last;
      }
    },

    async readSince(cursor, take) {
      const before = JSON.parse(cursor) as Cursor;
      const began = performance.now();
      let next: Cursor | undefined;
      for (let last = { xid: "0", id: "0" }; ; ) {
        const rows = await database.read((knex) =>
          findNewRevocations.rows(knex, { snapshot: before.snapshot, ...last }),
        );
        // The first page's cursor: what commits while the others are read is read again.
        if (!next) {
          next = { server: rows[0]?.server ?? "", snapshot: rows[0]?.snapshot ?? "" };
          saw(next.server, next.snapshot, began);
        }
        if (next.server !== before.server) return undefined;
        const entries = rows.flatMap(toEntry);
        take(entries);
        if (entries.length < pageSize) return JSON.stringify(next);
        last = entries.at(-1) ?? last;
      }
    },

    async isCurrent(cursor) {
      const { server } = JSON.parse(cursor) as Cursor;
      if ((await commit()) === server) return true;
      renew(); // a connection leads to an old server
      return false;
    },

    async insert({ subject, minimumEpoch, expiresAt }) {
      await ofRequests.write((knex) => insertRevocation.count(knex, { subject, minimumEpoch, expiresAt }));
    },
  };
}

const toEntry = ({ xid, id, subject, minimumEpoch, expiresAt }: RowOf<typeof findNewRevocations>) =>
  xid !== null && id !== null && subject !== null && minimumEpoch !== null && expiresAt !== null
    ? [{ xid, id, subject, minimumEpoch, expiresAt }]
    : [];
