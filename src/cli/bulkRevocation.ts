/** Revokes the credentials of many users at once: sessions, tokens, signing keys. Each function is part of a transaction. */
import type { Knex } from "knex";
import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { lockUntilCommit } from "../database/locks.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { double, integer, text, uuid } from "../database/sqlTypes.ts";
import { everybody } from "../revocations/revocations.ts";
import { longestLifetimeSeconds, revocationColumns, revoke } from "../revocations/revoke.ts";
import type { SealedKey } from "../tokens/storeTypes.ts";

/** These transactions have no time limit. */
const commitSeconds = 3_600;

const liveSessions = `sessions JOIN users ON users.id = user_id
  WHERE token_epoch = user_epoch AND ended_at IS NULL AND least(idle_expires_at, expires_at) > now()`;

const countLiveSessions = statement({
  name: "count-live-sessions",
  sql: `SELECT count(*)::integer AS sessions, count(DISTINCT user_id)::integer AS users FROM ${liveSessions}`,
  columns: { sessions: integer, users: integer },
});

const raiseEpochFloor = statement({
  name: "raise-epoch-floor",
  sql: `UPDATE epoch_floor
    SET minimum_epoch = greatest(minimum_epoch, :highestEpoch, (SELECT max(token_epoch) FROM users)) + 1
    RETURNING minimum_epoch AS epoch`,
  parameters: { highestEpoch: integer },
  columns: { epoch: integer },
});

const setEveryEpoch = statement({
  name: "set-every-epoch",
  sql: "UPDATE users SET token_epoch = :epoch",
  parameters: { epoch: integer },
});

const revokeEverybody = statement({
  name: "revoke-everybody",
  sql: revoke({ subject: `'${everybody}'`, minimumEpoch: ":epoch", commitSeconds }),
  parameters: { epoch: integer },
  columns: revocationColumns,
});

const revokeUser = statement({
  name: "revoke-user",
  sql: `WITH live AS (
      SELECT count(*)::integer AS sessions FROM ${liveSessions} AND username = :username
    ), changed AS (
      UPDATE users SET token_epoch = token_epoch + 1 WHERE username = :username RETURNING id, token_epoch
    ), audited AS (
      ${recordEvent({ event: "sessions-ended", from: "changed" })}
    ), revoked AS (
      ${revoke({ from: "changed", minimumEpoch: "token_epoch", commitSeconds })}
    )
    SELECT id AS "userId", sessions FROM changed, live`,
  parameters: { username: text, audit: auditParameter },
  columns: { userId: uuid, sessions: integer },
});

const revokeSigningKeys = statement({
  name: "revoke-signing-keys",
  sql: `WITH revoked AS (
      UPDATE signing_keys SET revoked_at = now() WHERE revoked_at IS NULL RETURNING kid
    )
    ${revoke({ from: "revoked", subject: "kid", commitSeconds })}`,
  columns: revocationColumns,
});

const insertSigningKey = statement({
  name: "insert-signing-key",
  sql: `INSERT INTO signing_keys (kid, algorithm, private_jwe, activates_at)
    VALUES (:kid, :algorithm, :privateJwe, now() + make_interval(secs => :activatesInSeconds))`,
  parameters: { kid: text, algorithm: text, privateJwe: text, activatesInSeconds: double },
});

const recordLongestLifetime = statement({
  name: "record-longest-lifetime",
  sql: `INSERT INTO token_lifetimes (seconds, issued_until) VALUES (${longestLifetimeSeconds}, now())
    ON CONFLICT (seconds) DO UPDATE SET issued_until = greatest(token_lifetimes.issued_until, excluded.issued_until)`,
});

/** How many sessions were live, and how many users they belonged to. */
export type Ended = RowOf<typeof countLiveSessions>;

/**
 * Records that tokens of the longest lifetime were issued until now: after a restore, the database does not know which lifetimes
 * were recorded since the backup.
 */
export async function assumeLongestLifetime(transaction: Knex.Transaction): Promise<void> {
  await recordLongestLifetime.count(transaction);
}

/**
 * Revokes every session and every token of all users. Every user gets the same higher epoch, and one entry revokes all
 * tokens of lower epochs: instances keep one entry, however many users there are. Tokens that are issued after the
 * commit have the new epoch. Registrations and changes of passwords wait for the commit; refreshes and checks of
 * tokens do not.
 * @param highestEpoch the highest epoch that is known from elsewhere, such as the audit log
 */
export async function endEverything(transaction: Knex.Transaction, highestEpoch = 0): Promise<Ended> {
  // Until the commit, no epoch may be raised, and nobody may register with a lower one.
  await transaction.raw("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE");
  const live = await countLiveSessions.one(transaction);
  const { epoch } = await raiseEpochFloor.one(transaction, { highestEpoch });
  await setEveryEpoch.count(transaction, { epoch });
  await revokeEverybody.one(transaction, { epoch });
  return live;
}

/** Revokes every session and every token of one user. @returns `undefined` if there is no such user */
export async function endUser(
  transaction: Knex.Transaction,
  username: string,
): Promise<RowOf<typeof revokeUser> | undefined> {
  return revokeUser.first(transaction, { username, audit: auditContext({ reason: "operator" }) });
}

/**
 * Revokes every signing key, including those that another SECRET_KEY encrypts.
 * @param keys the new keys: one that signs at once, and its successor
 * @param rotationSeconds for how long the first one signs
 * @returns the ids of the revoked keys
 */
export async function replaceKeys(
  transaction: Knex.Transaction,
  keys: readonly [SealedKey, SealedKey],
  rotationSeconds: number,
): Promise<string[]> {
  await lockUntilCommit(transaction, "signingKeys"); // so that no instance rotates them
  const revoked = await revokeSigningKeys.rows(transaction);
  for (const [index, key] of keys.entries()) {
    await insertSigningKey.count(transaction, { ...key, activatesInSeconds: index * rotationSeconds });
  }
  return revoked.map(({ subject }) => subject);
}
