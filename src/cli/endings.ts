/** Ends what many people have at once: sessions, tokens, signing keys. Each is part of a transaction. */
import type { Knex } from "knex";
import { lockUntilCommit } from "../database/locks.ts";
import { everybody } from "../revocations/revocations.ts";
import { longestLifetimeSeconds, revoke } from "../revocations/sql.ts";
import type { SealedKey } from "../tokens/storedKeys.ts";

/** These transactions have no time limit. */
const commitSeconds = 3_600;

export type Ended = { sessions: number; users: number };

/**
 * Records that tokens of the longest lifetime were issued until now: after a restore, the database does not know which lifetimes
 * were recorded since the backup.
 */
export async function assumeLongestLifetime(transaction: Knex.Transaction): Promise<void> {
  await transaction.raw(
    `INSERT INTO token_lifetimes (seconds, issued_until) VALUES (?, now())
     ON CONFLICT (seconds) DO UPDATE SET issued_until = greatest(token_lifetimes.issued_until, excluded.issued_until)`,
    [longestLifetimeSeconds],
  );
}

const liveSessions = `sessions JOIN users ON users.id = user_id
  WHERE token_epoch = user_epoch AND ended_at IS NULL AND least(idle_expires_at, expires_at) > now()`;

/**
 * Ends every session and every token of everybody. Each user gets the same higher epoch, and one revocation ends all
 * tokens of lower ones, so that instances hold one entry however many users there are. A token that is issued once
 * this is committed has the new epoch. Registrations and changes of a password wait until then; refreshes and tokens
 * do not.
 * @param highestEpoch of which it is known that somebody had it, though the database may not know it any more
 */
export async function endEverything(transaction: Knex.Transaction, highestEpoch = 0): Promise<Ended> {
  // No epoch may be raised, and nobody may register with a lower one, between here and the commit.
  await transaction.raw("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE");
  const live = await one<Ended>(
    transaction,
    `SELECT count(*)::integer AS sessions, count(DISTINCT user_id)::integer AS users FROM ${liveSessions}`,
  );
  const { epoch } = await one<{ epoch: number }>(
    transaction,
    `UPDATE epoch_floor SET minimum_epoch = greatest(minimum_epoch, ?, (SELECT max(token_epoch) FROM users)) + 1
     RETURNING minimum_epoch AS epoch`,
    [highestEpoch],
  );
  await transaction.raw("UPDATE users SET token_epoch = ?", [epoch]);
  await transaction.raw(revoke({ subject: `'${everybody}'`, minimumEpoch: "?", commitSeconds }), [epoch]);
  return live;
}

/** Ends every session and every token of one user. @returns `undefined` where there is no such user */
export async function endUser(
  transaction: Knex.Transaction,
  username: string,
): Promise<{ userId: string; sessions: number } | undefined> {
  const { rows } = await transaction.raw<{ rows: { userId: string; sessions: number }[] }>(
    `WITH live AS (
       SELECT count(*)::integer AS sessions FROM ${liveSessions} AND username = :username
     ), changed AS (
       UPDATE users SET token_epoch = token_epoch + 1 WHERE username = :username RETURNING id, token_epoch
     ), revoked AS (
       ${revoke({ from: "changed", minimumEpoch: "token_epoch", commitSeconds })}
     )
     SELECT id AS "userId", sessions FROM changed, live`,
    { username },
  );
  return rows[0];
}

/**
 * Revokes every signing key, whatever it is sealed under.
 * @param keys what replaces them: one that signs at once, and the one after it
 * @param rotationSeconds for how long the first one signs
 * @returns the ids of the revoked ones
 */
export async function replaceKeys(
  transaction: Knex.Transaction,
  keys: readonly [SealedKey, SealedKey],
  rotationSeconds: number,
): Promise<string[]> {
  await lockUntilCommit(transaction, "signingKeys"); // no instance rotates meanwhile
  const { rows } = await transaction.raw<{ rows: { subject: string }[] }>(
    `WITH revoked AS (
       UPDATE signing_keys SET revoked_at = now() WHERE revoked_at IS NULL RETURNING kid
     )
     ${revoke({ from: "revoked", subject: "kid", commitSeconds })}`,
  );
  for (const [place, { kid, privateJwe }] of keys.entries())
    await transaction.raw(
      "INSERT INTO signing_keys (kid, private_jwe, activates_at) VALUES (?, ?, now() + make_interval(secs => ?))",
      [kid, privateJwe, place * rotationSeconds],
    );
  return rows.map(({ subject }) => subject);
}

async function one<T>(transaction: Knex.Transaction, sql: string, values: number[] = []): Promise<T> {
  const { rows } = await transaction.raw<{ rows: [T] }>(sql, values);
  return rows[0];
}
