import { Problem } from "../contract/problems.ts";
import { type Database, violates } from "../database/database.ts";
import { everyEpoch, longestRevocationSeconds, type Revocation } from "../tokens/revocations.ts";
import type { Account, User, UserStore } from "./users.ts";

const userColumns = { id: "id", username: "username", createdAt: "created_at" };
const accountColumns = { id: "id", username: "username", passwordHash: "password_hash", tokenEpoch: "token_epoch" };

export function userStore(database: Database): UserStore {
  /** A change and the revocation that follows from it: both or neither, in one statement. */
  const revoking = async (change: string, values: Record<string, string | number>): Promise<Revocation | undefined> => {
    const { rows } = await database.write((knex) =>
      knex.raw<{ rows: Revocation[] }>(
        `WITH changed AS (${change})
         INSERT INTO revocations (subject, minimum_epoch, expires_at)
         SELECT id, minimum_epoch, now() + make_interval(secs => :seconds) FROM changed
         RETURNING subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"`,
        { ...values, seconds: longestRevocationSeconds },
      ),
    );
    return rows[0];
  };

  return {
    async insert({ id, username, passwordHash }) {
      const insertion = database.write((knex) =>
        knex("users").insert({ id, username, password_hash: passwordHash }).returning<User[]>(returned(userColumns)),
      );
      // The constraint decides, so that of many at once exactly one gets the name.
      const [user] = await insertion.catch((error: unknown) => {
        throw violates(error, "users_username_key") ? new Problem("username-taken") : error;
      });
      return user as User;
    },

    find: (id) => database.read((knex) => knex("users").first<User | undefined>(userColumns).where({ id })),

    findAccount: (by) => database.read((knex) => knex("users").first<Account | undefined>(accountColumns).where(by)),

    changePassword: (id, epoch, passwordHash) =>
      revoking(
        `UPDATE users SET password_hash = :passwordHash, token_epoch = token_epoch + 1
         WHERE id = :id AND token_epoch = :epoch RETURNING id, token_epoch AS minimum_epoch`,
        { id, epoch, passwordHash },
      ),

    raiseEpoch: (id, epoch) =>
      revoking(
        `UPDATE users SET token_epoch = token_epoch + 1
         WHERE id = :id AND token_epoch = :epoch RETURNING id, token_epoch AS minimum_epoch`,
        { id, epoch },
      ),

    async upgradeHash(id, from, to) {
      await database.write((knex) => knex("users").where({ id, password_hash: from }).update({ password_hash: to }));
    },

    delete: (id, epoch) =>
      revoking(
        `DELETE FROM users WHERE id = :id AND token_epoch = :epoch RETURNING id, ${everyEpoch} AS minimum_epoch`,
        { id, epoch },
      ),
  };
}

/** `returning` takes `column as alias`, not the object that `select` takes. */
const returned = (columns: Record<string, string>) =>
  Object.entries(columns).map(([alias, column]) => `${column} as ${alias}`);
