/** `latchkey restore`: after a backup was restored, revokes again what was revoked since the backup was made. */
import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { daySeconds } from "../config/values.ts";
import { violates } from "../database/errors.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, integer, text, uuid } from "../database/sqlTypes.ts";
import { InputError, UsageError } from "../errors.ts";
import { disabledPassword } from "../passwords/hashing.ts";
import { createSeal, makeKey } from "../tokens/sealing.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import type { Define } from "./arguments.ts";
import { type AuditHistory, readAuditLog } from "./auditLog.ts";
import { assumeLongestLifetime, type Ended, endEverything, replaceKeys } from "./bulkRevocation.ts";
import { type Tools, withDatabase } from "./database.ts";
import { counted, printLine } from "./output.ts";

const explanation = `Choose what happens to passwords that were changed since the backup: the old ones are valid again, and the restored
database does not know which passwords these are.

  latchkey restore --audit-log FILE    disables the passwords that were changed since, and deletes the users who were
                                       deleted since, according to the log of the service. Repeat it for each file.
  latchkey restore --end-passwords     disables every password
  latchkey restore --keep-passwords    keeps the old passwords valid

To set a new password for a user whose password is disabled, run latchkey users set-password NAME.`;

type PasswordChoice = { reason: "audit-log"; files: string[] } | { reason: "end-passwords" | "keep-passwords" };

export const defineRestore: Define = (restore, execute) => {
  restore
    .option(
      "--audit-log <file...>",
      "disable the passwords and delete the users that this log says; repeat it for each file",
    )
    .option("--end-passwords", "disable every password")
    .option("--keep-passwords", "keep the old passwords valid")
    .addHelpText("before", `${explanation}\n`)
    .action(async ({ auditLog: files, endPasswords, keepPasswords }) => {
      const choices: PasswordChoice[] = [];
      if (files) choices.push({ reason: "audit-log", files });
      if (endPasswords) choices.push({ reason: "end-passwords" });
      if (keepPasswords) choices.push({ reason: "keep-passwords" });
      const [choice] = choices;
      if (!choice || choices.length > 1) throw new UsageError(explanation);
      await execute(async (...context) => {
        const history = choice.reason === "audit-log" ? await readAuditLog(choice.files) : undefined;
        await withDatabase((tools) => restoreWith(tools, choice, history), { migrates: true })(...context);
      });
    });
};

async function restoreWith(
  { config, atomically, audit }: Tools,
  choice: PasswordChoice,
  history: AuditHistory | undefined,
): Promise<void> {
  const seal = createSeal((await readSecretKeys(config)).sealing);
  const keys = [await makeKey(seal), await makeKey(seal)] as const;
  const done = await atomically(async (transaction) => ({
    lifetimes: await assumeLongestLifetime(transaction),
    revoked: await replaceKeys(transaction, keys, config.keyRotationDays * daySeconds),
    ended: await endEverything(transaction, history?.highestEpoch),
    networks: await forgetFamiliarNetworks.count(transaction),
    keySecrets: await endKeySecrets.count(transaction),
    deleted: history
      ? await deleteUsersAgain.rows(transaction, {
          ids: [...history.deleted],
          audit: auditContext({ reason: "restored" }),
        })
      : [],
    disabled: history
      ? await disableChangedPasswords.rows(transaction, {
          ids: [...history.passwordEpochs.keys()],
          epochs: [...history.passwordEpochs.values()],
        })
      : [],
    allDisabled: choice.reason === "end-passwords" ? await disableAllPasswords.count(transaction) : 0,
  })).catch(explainLastAdministrator);
  for (const keyId of done.revoked) audit("signing-key-revoked", { keyId });
  audit("all-sessions-ended", {});
  for (const { id } of done.deleted) audit("user-deleted", { userId: id, reason: "restored" });
  for (const { id } of done.disabled) audit("password-disabled", { userId: id });
  audit("database-restored", { reason: choice.reason });
  printResult(choice, { ...done, newKeyId: keys[0].kid, droppedLines: history?.droppedLines ?? 0 });
}

/** The backup may have no administrator except one who was deleted since. */
function explainLastAdministrator(error: unknown): never {
  if (!violates(error, "last_administrator")) throw error;
  throw new InputError(
    "Nothing was changed: the log says that the last administrator was deleted. Give another user the role first, with\nlatchkey users set-roles NAME administrator, and repeat the command.",
  );
}

type User = { id: string; username: string };
type Result = {
  revoked: string[];
  newKeyId: string;
  ended: Ended;
  networks: number;
  keySecrets: number;
  deleted: User[];
  disabled: User[];
  allDisabled: number;
  droppedLines: number;
};

function printResult({ reason }: PasswordChoice, result: Result): void {
  const { ended, deleted, disabled } = result;
  const printUsers = (users: User[]) => {
    for (const { id, username } of users) printLine(`  ${username}  ${id}`);
  };
  printLine("Restored from the backup:");
  printLine(`${counted(result.revoked.length, "signing key")}: revoked. The new one is ${result.newKeyId}.`);
  printLine(`${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}: ended, with every token.`);
  printLine(`${counted(result.networks, "familiar network")}: forgotten.`);
  printLine(`${counted(result.keySecrets, "secret")} of API keys: ended. A rotation gives a key a new one.`);
  if (result.droppedLines > 0) {
    printLine(
      `The log lacks ${counted(result.droppedLines, "line")} that could not be written. They may have contained`,
    );
    printLine("changes of passwords and deletions: to be sure, run latchkey restore --end-passwords as well.");
  }
  if (reason === "audit-log") {
    printLine(`${counted(deleted.length, "deleted user")}: deleted again.`);
    printUsers(deleted);
    const advice = disabled.length > 0 ? " Set new ones with latchkey users set-password NAME:" : "";
    printLine(`${counted(disabled.length, "old password")}: disabled.${advice}`);
    printUsers(disabled);
  }
  if (reason === "end-passwords") printLine(`${counted(result.allDisabled, "password")}: disabled.`);
  if (reason === "keep-passwords")
    printLine("Passwords that were changed since the backup, and users who were deleted: valid again, as requested.");
}

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

const forgetFamiliarNetworks = statement({
  name: "forget-familiar-networks",
  sql: "DELETE FROM familiar_networks",
});

/**
 * The backup may contain keys that were deleted since, and secrets that were rotated. The keys stay, so that their owners need
 * not remember names and scopes.
 */
const endKeySecrets = statement({ name: "end-api-key-secrets", sql: "DELETE FROM api_key_secrets" });

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

/** This runs after `endEverything` for the same reason. */
const disableAllPasswords = statement({
  name: "disable-all-passwords",
  sql: `UPDATE users SET password_hash = '${disabledPassword}', password_epoch = token_epoch`,
});
