/** What `latchkey restore` repeats: the changes of users and clients that the log contains, and the backup does not. */
import type { Knex } from "knex";
import type { Audit } from "../audit/audit.ts";
import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, boolean, integer, text, uuid } from "../database/sqlTypes.ts";
import { disabledPassword } from "../passwords/hashing.ts";
import type { AuditHistory } from "./auditLog.ts";
import { counted, printLine } from "./output.ts";

type User = { id: string; username: string };

export type Repeated = {
  deleted: User[];
  /** Users whose password was disabled. */
  disabled: User[];
  blocked: User[];
  unblocked: User[];
  deletedClients: { id: string; name: string }[];
  /** The users whose roles were changed or are incomplete. */
  roles: (User & { roles: string[]; unknown: string[]; isChanged: boolean })[];
  /** Whether the last administrator was deleted or blocked, or lost the role. */
  lostAdministrators: boolean;
};

const reason = "restored";

/** Repeats the changes. `endEverything` must have raised every token epoch in the transaction. */
export async function repeatChanges(transaction: Knex.Transaction, history: AuditHistory): Promise<Repeated> {
  const audit = auditContext({ reason });
  const usersWith = (isBlocked: boolean) =>
    [...history.blocked].flatMap(([id, wasBlocked]) => (wasBlocked === isBlocked ? [id] : []));
  const hadAdministrators = (await countAdministrators.one(transaction)).count > 0;
  // The changes were made while there was another administrator, who may be newer than the backup.
  await transaction.raw("SET LOCAL latchkey_restore.repeats_changes = 'on'");
  const repeated = {
    deleted: await deleteUsersAgain.rows(transaction, { ids: [...history.deleted], audit }),
    disabled: await disableChangedPasswords.rows(transaction, {
      ids: [...history.passwordEpochs.keys()],
      epochs: [...history.passwordEpochs.values()],
    }),
    roles: await setRolesAgain.rows(transaction, {
      ids: [...history.roles.keys()],
      names: [...history.roles.values()].map((names) => names.join(" ")),
      audit,
    }),
    blocked: await blockUsersAgain.rows(transaction, { ids: usersWith(true), audit }),
    unblocked: await unblockUsersAgain.rows(transaction, { ids: usersWith(false), audit }),
    deletedClients: await deleteClientsAgain.rows(transaction, { ids: [...history.deletedClients], audit }),
  };
  const lostAdministrators = hadAdministrators && (await countAdministrators.one(transaction)).count === 0;
  return { ...repeated, lostAdministrators };
}

/** Writes an audit event for each change. */
export function logRepeated(repeated: Repeated, audit: Audit): void {
  const { deleted, disabled, blocked, unblocked, roles, deletedClients } = repeated;
  for (const { id } of deleted) audit("user-deleted", { userId: id, reason });
  for (const { id } of disabled) audit("password-disabled", { userId: id });
  for (const user of roles) {
    if (user.isChanged) audit("roles-changed", { userId: user.id, reason, roles: user.roles.join(" ") });
  }
  for (const { id } of blocked) audit("user-blocked", { userId: id, reason });
  for (const { id } of unblocked) audit("user-unblocked", { userId: id, reason });
  for (const { id } of deletedClients) audit("client-deleted", { clientId: id, reason });
}

export function printRepeated({ deleted, disabled, roles, ...repeated }: Repeated): void {
  const printUsers = (users: User[]) => {
    for (const { id, username } of users) printLine(`  ${username}  ${id}`);
  };
  printLine(`${counted(deleted.length, "deleted user")}: deleted again.`);
  printUsers(deleted);
  printLine(`${counted(repeated.blocked.length, "blocked user")}: blocked again.`);
  printUsers(repeated.blocked);
  printLine(`${counted(repeated.unblocked.length, "unblocked user")}: unblocked again.`);
  printUsers(repeated.unblocked);
  printLine(`${counted(repeated.deletedClients.length, "deleted client")}: deleted again.`);
  for (const { id, name } of repeated.deletedClients) printLine(`  ${name}  ${id}`);
  const changed = roles.filter(({ isChanged }) => isChanged);
  printLine(`Roles of ${counted(changed.length, "user")}: as in the log.`);
  for (const user of changed) printLine(`  ${user.username}  ${user.roles.join(", ") || "none"}`);
  for (const { username, unknown } of roles) {
    if (unknown.length > 0)
      printLine(`The backup lacks roles of ${username}, who does not get them: ${unknown.join(", ")}`);
  }
  const advice = disabled.length > 0 ? " Set new ones with latchkey users set-password NAME:" : "";
  printLine(`${counted(disabled.length, "old password")}: disabled.${advice}`);
  printUsers(disabled);
  if (repeated.lostAdministrators)
    printLine("No administrator is left. Make one with latchkey users set-roles NAME administrator.");
}

const countAdministrators = statement({
  name: "count-administrators",
  sql: `SELECT count(*)::integer AS count FROM user_roles JOIN users ON users.id = user_id
    WHERE role = 'administrator' AND blocked_at IS NULL`,
  columns: { count: integer },
});

const deleteUsersAgain = statement({
  name: "delete-users-again",
  sql: `WITH deleted AS (
      DELETE FROM users USING unnest(:ids) AS wanted (id) WHERE users.id = wanted.id RETURNING users.id, username
    ), audited AS (
      ${recordEvent({ event: "user-deleted", from: "deleted", subjectName: "deleted.username" })}
    )
    SELECT id, username FROM deleted`,
  parameters: { ids: arrayOf(uuid), audit: auditParameter },
  columns: { id: uuid, username: text },
});

const deleteClientsAgain = statement({
  name: "delete-clients-again",
  sql: `WITH deleted AS (
      DELETE FROM clients WHERE id = ANY(:ids) RETURNING id, name
    ), audited AS (
      ${recordEvent({
        event: "client-deleted",
        from: "deleted",
        subject: "NULL::uuid",
        details: "jsonb_build_object('client_id', deleted.id)",
      })}
    )
    SELECT id, name FROM deleted`,
  parameters: { ids: arrayOf(text), audit: auditParameter },
  columns: { id: text, name: text },
});

/**
 * If a change in the log is missing in the database, the password is an older one. `endEverything` has raised every
 * token epoch before, so a sign-in that has read the hash before the commit fails after it.
 */
const disableChangedPasswords = statement({
  name: "disable-changed-passwords",
  sql: `UPDATE users SET password_hash = '${disabledPassword}', password_epoch = token_epoch
    FROM unnest(:ids, :epochs) AS change (id, epoch)
    WHERE users.id = change.id AND password_epoch < change.epoch
    RETURNING users.id, username`,
  parameters: { ids: arrayOf(uuid), epochs: arrayOf(integer) },
  columns: { id: uuid, username: text },
});

/** The password epoch stays: a later run of the command needs it, to find changes of the password in another log. */
const blockUsersAgain = statement({
  name: "block-users-again",
  sql: `WITH changed AS (
      UPDATE users SET blocked_at = now(), version = version + 1
      WHERE id = ANY(:ids) AND blocked_at IS NULL
      RETURNING id, username
    ), audited AS (
      ${recordEvent({ event: "user-blocked", from: "changed" })}
    )
    SELECT id, username FROM changed`,
  parameters: { ids: arrayOf(uuid), audit: auditParameter },
  columns: { id: uuid, username: text },
});

const unblockUsersAgain = statement({
  name: "unblock-users-again",
  sql: `WITH changed AS (
      UPDATE users SET blocked_at = NULL, version = version + 1
      WHERE id = ANY(:ids) AND blocked_at IS NOT NULL
      RETURNING id, username
    ), audited AS (
      ${recordEvent({ event: "user-unblocked", from: "changed" })}
    )
    SELECT id, username FROM changed`,
  parameters: { ids: arrayOf(uuid), audit: auditParameter },
  columns: { id: uuid, username: text },
});

/** `names` are separated by spaces. Instances forget the rights of everybody, because of the entry of `endEverything`. */
const setRolesAgain = statement({
  name: "set-roles-again",
  sql: `WITH logged AS (
      SELECT users.id, username, string_to_array(change.names, ' ') AS names,
        ARRAY(SELECT role FROM user_roles WHERE user_id = users.id ORDER BY role) AS restored
      FROM unnest(:ids, :names) AS change (id, names) JOIN users ON users.id = change.id
    ), wanted AS (
      SELECT id, username, restored, ARRAY(SELECT name FROM roles WHERE name = ANY(names) ORDER BY name) AS roles,
        ARRAY(SELECT name FROM unnest(names) AS name EXCEPT SELECT name FROM roles) AS unknown
      FROM logged
    ), changed AS (
      UPDATE users SET version = version + 1 FROM wanted
      WHERE users.id = wanted.id AND restored <> roles
      RETURNING users.id, roles
    ), removed AS (
      DELETE FROM user_roles USING changed WHERE user_id = changed.id AND role <> ALL(roles)
    ), added AS (
      INSERT INTO user_roles (user_id, role) SELECT id, unnest(roles) FROM changed ON CONFLICT DO NOTHING
    ), audited AS (
      ${recordEvent({
        event: "roles-changed",
        from: "changed",
        details: "jsonb_build_object('roles', array_to_string(changed.roles, ' '))",
      })}
    )
    SELECT id, username, roles, unknown, restored <> roles AS "isChanged" FROM wanted
    WHERE restored <> roles OR cardinality(unknown) > 0`,
  parameters: { ids: arrayOf(uuid), names: arrayOf(text), audit: auditParameter },
  columns: { id: uuid, username: text, roles: arrayOf(text), unknown: arrayOf(text), isChanged: boolean },
});
