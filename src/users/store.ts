import type { Database } from "../database/database.ts";
import { violates } from "../database/errors.ts";
import { Problem } from "../problems/problems.ts";
import { type Revocation, unreachableEpoch } from "../revocations/revocations.ts";
import { revoke } from "../revocations/sql.ts";
import { familiarNetworks } from "../throttling/limits.ts";
import type { Account, User, UserStore } from "./state.ts";

const userColumns = { id: "id", username: "username", createdAt: "created_at" };
const accountColumns = {
  id: "id",
  username: "username",
  passwordHash: "password_hash",
  tokenEpoch: "token_epoch",
};

export function userStore(database: Database): UserStore {
  /** A change and the revocation that follows from it: both or neither, in one statement. */
  const revoking = async (change: string, values: Record<string, string | number>): Promise<Revocation | undefined> => {
    const { rows } = await database.write((knex) =>
      knex.raw<{ rows: Revocation[] }>(
        `WITH changed AS (${change}) ${revoke({ from: "changed", minimumEpoch: "changed.minimum_epoch" })}`,
        values,
      ),
    );
    return rows[0];
  };

  return {
    async insert(user) {
      const insertion = database.write((knex) =>
        knex.raw<{ rows: [User] }>(
          `WITH registered AS (
             INSERT INTO users (id, username, password_hash) VALUES (:id, :username, :passwordHash) RETURNING *
           ), remembered AS (
             INSERT INTO familiar_networks (user_id, network, key) SELECT id, :network, :key FROM registered
           )
           SELECT id, username, created_at AS "createdAt" FROM registered`,
          user,
        ),
      );
      // The constraint decides, so that of many at once exactly one gets the name.
      const { rows } = await insertion.catch((error: unknown) => {
        throw violates(error, "users_username_key") ? new Problem("username-taken") : error;
      });
      return rows[0];
    },

    find: (id) => database.read((knex) => knex("users").first<User | undefined>(userColumns).where({ id })),

    findAccount: (by) => database.read((knex) => knex("users").first<Account | undefined>(accountColumns).where(by)),

    async rememberNetwork(id, { network, key }, sessionId) {
      await database.write((knex) =>
        knex.raw(
          // The user first, as a deletion has it: they must not wait for each other. Then the session: once its theft
          // was found, a refresh that came before adds nothing. The deletion looks again at what it has waited for: the
          // password may just have been used there.
          `WITH owner AS MATERIALIZED (
             SELECT id, token_epoch FROM users WHERE id = :id FOR KEY SHARE
           ), live AS MATERIALIZED (
             SELECT sessions.id FROM sessions JOIN owner ON user_id = owner.id AND user_epoch = token_epoch
             WHERE sessions.id = :sessionId::uuid AND ended_at IS NULL FOR SHARE OF sessions
           ), remembered AS (
             INSERT INTO familiar_networks (user_id, network, key, by_password)
             SELECT id, :network, :key, :byPassword::boolean FROM owner
             WHERE :byPassword::boolean OR EXISTS (SELECT FROM live) AND :limit::integer > (
               SELECT count(*) FROM familiar_networks WHERE user_id = :id AND network <> :network AND by_password)
             ON CONFLICT (user_id, network) DO UPDATE
               SET last_seen_at = now(), key = excluded.key,
                   by_password = familiar_networks.by_password OR excluded.by_password
             RETURNING user_id
           )
           DELETE FROM familiar_networks AS known USING remembered
           WHERE known.user_id = remembered.user_id AND (:byPassword::boolean OR NOT by_password) AND network IN (
             SELECT network FROM familiar_networks WHERE user_id = :id AND network <> :network
             ORDER BY by_password DESC, last_seen_at DESC OFFSET :limit::integer - 1)`,
          {
            id,
            network,
            key,
            sessionId: sessionId ?? null,
            byPassword: sessionId === undefined,
            limit: familiarNetworks,
          } as never,
        ),
      );
    },

    changePassword: (id, epoch, passwordHash, network) =>
      revoking(
        `UPDATE users
         SET password_hash = :passwordHash, token_epoch = token_epoch + 1, password_epoch = token_epoch + 1
         WHERE id = :id AND password_epoch <= :epoch RETURNING id, token_epoch AS minimum_epoch
         ), forgotten AS (
           DELETE FROM familiar_networks USING changed WHERE user_id = changed.id AND network <> :network`,
        { id, epoch, passwordHash, network },
      ),

    currentEpoch: async (id, epoch) =>
      (
        await database.read((knex) =>
          knex("users")
            .first<{ epoch: number } | undefined>({ epoch: "token_epoch" })
            .where({ id })
            .where("password_epoch", "<=", epoch),
        )
      )?.epoch,

    raiseEpoch: (id, epoch) =>
      revoking(
        `UPDATE users SET token_epoch = token_epoch + 1
         WHERE id = :id AND password_epoch <= :epoch RETURNING id, token_epoch AS minimum_epoch`,
        { id, epoch },
      ),

    endEpoch: (id, epoch) =>
      revoking(
        `UPDATE users SET token_epoch = greatest(token_epoch, :epoch::integer + 1)
         WHERE id = :id RETURNING id, token_epoch AS minimum_epoch`,
        { id, epoch },
      ),

    async upgradeHash(id, from, to) {
      await database.write((knex) => knex("users").where({ id, password_hash: from }).update({ password_hash: to }));
    },

    delete: (id, epoch) =>
      revoking(
        `DELETE FROM users WHERE id = :id AND password_epoch <= :epoch RETURNING id, ${unreachableEpoch} AS minimum_epoch`,
        { id, epoch },
      ),
  };
}
