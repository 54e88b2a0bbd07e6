import type { Knex } from "knex";
import type { Database } from "../database/database.ts";
import { lockUntilCommit } from "../database/locks.ts";
import { statement } from "../database/sql.ts";
import { boolean, double, integer, narrowed, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import { revocationColumns, revoke } from "../revocations/revoke.ts";
import { type SigningAlgorithm, toSigningAlgorithm } from "./algorithms.ts";
import { preparedBeforeSigningSeconds, publishedBeforeSigningSeconds } from "./keyRotation.ts";
import type { TokenLifetimeStore } from "./lifetime.ts";
import type { SigningKeyStore } from "./storeTypes.ts";

const keyColumns = {
  kid: text,
  algorithm: narrowed<SigningAlgorithm>(text),
  privateJwe: text,
  createdAt: timestamptz,
  activatesAt: timestamptz,
  revokedAt: nullable(timestamptz),
};
const selectedKey = `kid, algorithm, private_jwe AS "privateJwe", created_at AS "createdAt", activates_at AS "activatesAt",
  revoked_at AS "revokedAt"`;

const findSigningKeys = statement({
  name: "find-signing-keys",
  sql: `SELECT ${selectedKey} FROM signing_keys ORDER BY activates_at DESC, kid`,
  columns: keyColumns,
});

const readTime = statement({ name: "read-time", sql: "SELECT now() AS now", columns: { now: timestamptz } });

/** The algorithm of the key that signs last. Revoked keys count only if there is no other. */
const lastAlgorithm = `(SELECT algorithm FROM signing_keys
  ORDER BY revoked_at IS NULL DESC, activates_at DESC, kid LIMIT 1)`;

const findNextKey = statement({
  name: "find-next-key",
  sql: `SELECT NOT EXISTS (SELECT FROM signing_keys WHERE revoked_at IS NULL
          AND activates_at > now() + make_interval(secs => ${preparedBeforeSigningSeconds})) AS "isMissing",
          ${lastAlgorithm} AS algorithm`,
  columns: { isMissing: boolean, algorithm: nullable(text) },
});

/** Does nothing if the next key exists, or if the last key has another algorithm. The first key signs at once. */
const insertNextKey = statement({
  name: "insert-next-key",
  sql: `INSERT INTO signing_keys (kid, algorithm, private_jwe, activates_at)
    SELECT :kid, :algorithm, :privateJwe, CASE WHEN last IS NULL THEN now() ELSE
      greatest(now() + make_interval(secs => ${publishedBeforeSigningSeconds}), last + make_interval(secs => :rotationSeconds)) END
    FROM (SELECT max(activates_at) AS last FROM signing_keys WHERE revoked_at IS NULL) AS existing
    WHERE (last IS NULL OR last <= now() + make_interval(secs => ${preparedBeforeSigningSeconds}))
      AND coalesce(${lastAlgorithm} = :algorithm, true)`,
  parameters: { kid: text, algorithm: text, privateJwe: text, rotationSeconds: double },
});

/**
 * Deletes the keys that sign after the next one. If one of them is about to sign, an instance with a fast clock may have signed
 * with it already: it stays.
 */
const withdrawLaterKeys = statement({
  name: "withdraw-later-signing-keys",
  sql: `DELETE FROM signing_keys WHERE revoked_at IS NULL AND activates_at > now() + interval '1 minute'
    AND kid <> (SELECT kid FROM signing_keys WHERE revoked_at IS NULL AND activates_at > now()
                ORDER BY activates_at, kid DESC LIMIT 1)`,
});

const findLastKey = statement({
  name: "find-last-signing-key",
  sql: `SELECT ${selectedKey} FROM signing_keys WHERE revoked_at IS NULL ORDER BY activates_at DESC, kid LIMIT 1`,
  columns: keyColumns,
});

const whenPublished = `now() + make_interval(secs => ${publishedBeforeSigningSeconds})`;

const hastenNextKey = statement({
  name: "hasten-next-signing-key",
  sql: `UPDATE signing_keys SET activates_at = ${whenPublished} WHERE revoked_at IS NULL AND activates_at > ${whenPublished}`,
});

/** It signs after the key above, which therefore does not sign again. */
const insertKeyOfAlgorithm = statement({
  name: "insert-signing-key-of-algorithm",
  sql: `INSERT INTO signing_keys (kid, algorithm, private_jwe, activates_at)
    VALUES (:kid, :algorithm, :privateJwe, ${whenPublished} + interval '1 second') RETURNING ${selectedKey}`,
  parameters: { kid: text, algorithm: text, privateJwe: text },
  columns: keyColumns,
});

const publishedLongEnough = `greatest(now(), created_at + make_interval(secs => ${publishedBeforeSigningSeconds}))`;

/** With `rotationSeconds`, it does nothing if another key began to sign within that time or is about to sign. */
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
  /** Runs a change under the lock of the keys. */
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

    async findNextKey() {
      const { isMissing, algorithm } = await database.read((knex) => findNextKey.one(knex));
      return { isMissing, algorithm: algorithm === null ? undefined : toSigningAlgorithm(algorithm) };
    },

    append: (key, rotationSeconds) =>
      changingKeys(async (transaction) => (await insertNextKey.count(transaction, { ...key, rotationSeconds })) === 1),

    changeAlgorithm: (key) =>
      changingKeys(async (transaction) => {
        const last = await findLastKey.first(transaction);
        if (last?.algorithm === key.algorithm) return undefined; // another process was faster
        await withdrawLaterKeys.count(transaction);
        await hastenNextKey.count(transaction);
        const next = await findLastKey.first(transaction);
        return next?.algorithm === key.algorithm ? next : insertKeyOfAlgorithm.one(transaction, key);
      }),

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
        // Verifiers already know the next key.
        if (signs) await promoteNextKey.count(transaction);
        return revocation;
      }),
  };
}

/**
 * SQL of the new `issued_until`. It does not go back, unless it is so far ahead that the clock must have been wrong: migration
 * 0010 sets it a week ahead.
 */
const extended = (current: string) => `CASE WHEN ${current} < now() + interval '8 days'
  THEN greatest(${current}, now() + make_interval(secs => :forSeconds)) ELSE now() + make_interval(secs => :forSeconds) END`;

const renewTokenLifetime = statement({
  name: "renew-token-lifetime",
  sql: `UPDATE token_lifetimes SET issued_until = ${extended("issued_until")}
    WHERE seconds = :lifetimeSeconds AND issued_until > now()`,
  parameters: { lifetimeSeconds: integer, forSeconds: double },
});

const insertTokenLifetime = statement({
  name: "insert-token-lifetime",
  sql: `INSERT INTO token_lifetimes (seconds, issued_until)
    VALUES (:lifetimeSeconds, now() + make_interval(secs => :forSeconds))
    ON CONFLICT (seconds) DO UPDATE SET issued_until = ${extended("token_lifetimes.issued_until")}`,
  parameters: { lifetimeSeconds: integer, forSeconds: double },
});

/**
 * A statement that revokes locks the table before it takes its snapshot. So if it does not see a lifetime that was committed
 * before this query, this query finds its lock.
 */
const findRevokingTransactions = statement({
  name: "find-revoking-transactions",
  sql: `SELECT coalesce(virtualtransaction, '') AS transaction FROM pg_locks
    WHERE relation = 'revocations'::regclass AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  columns: { transaction: text },
});

export const tokenLifetimeStore = (database: Database): TokenLifetimeStore => ({
  async record(lifetimeSeconds, forSeconds) {
    const values = { lifetimeSeconds, forSeconds };
    if ((await database.write((knex) => renewTokenLifetime.count(knex, values))) > 0) return true;
    await database.write((knex) => insertTokenLifetime.count(knex, values));
    return false;
  },

  // No lock: other revocations would queue behind it while it waits.
  async findRevokingTransactions() {
    const rows = await database.read((knex) => findRevokingTransactions.rows(knex));
    return rows.map(({ transaction }) => transaction);
  },
});
