/** `latchkey restore`: after a backup was restored, ends what had been ended since and is alive again. */
import { daySeconds } from "../config/values.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, integer, text, uuid } from "../database/sqlTypes.ts";
import { UsageError } from "../errors.ts";
import { disabledPassword } from "../passwords/hashing.ts";
import { createSeal, makeKey } from "../tokens/sealing.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import { type Command, parseArguments, type Run } from "./arguments.ts";
import { readHistory } from "./auditLog.ts";
import { assumeLongestLifetime, endEverything, replaceKeys } from "./bulkRevocation.ts";
import { withDatabase } from "./database.ts";
import { counted, printLine } from "./output.ts";

const explanation = `Say what to do about passwords: those that were changed since the backup are valid again, and the
restored database cannot know which these are.

  latchkey restore --audit-log FILE    disables the passwords that were changed since, and deletes again the users who
                                       were deleted since, by the service's log; repeat it for each file
  latchkey restore --end-passwords     disables every password
  latchkey restore --keep-passwords    leaves them: old passwords work again

Somebody whose password is disabled gets another one by latchkey users set-password NAME.`;

type Passwords = { reason: "audit-log"; files: string[] } | { reason: "end-passwords" | "keep-passwords" };

export const restore: Command = (args) => {
  const { positionals, values } = parseArguments(args, {
    "audit-log": { type: "string", multiple: true },
    "end-passwords": { type: "boolean" },
    "keep-passwords": { type: "boolean" },
  });
  const choices: Passwords[] = [];
  if (values["audit-log"]) choices.push({ reason: "audit-log", files: values["audit-log"] });
  if (values["end-passwords"]) choices.push({ reason: "end-passwords" });
  if (values["keep-passwords"]) choices.push({ reason: "keep-passwords" });
  const [choice] = choices;
  if (!choice || choices.length > 1 || positionals.length > 0) throw new UsageError(explanation);
  return end(choice);
};

const end =
  (choice: Passwords): Run =>
  async (config, log) => {
    const history = choice.reason === "audit-log" ? await readHistory(choice.files) : undefined;
    await withDatabase(
      config,
      log,
      async ({ atomically, audit }) => {
        const seal = createSeal((await readSecretKeys(config)).sealing);
        const keys = [await makeKey(seal), await makeKey(seal)] as const;
        const done = await atomically(async (transaction) => ({
          lifetimes: await assumeLongestLifetime(transaction),
          revoked: await replaceKeys(transaction, keys, config.keyRotationDays * daySeconds),
          ended: await endEverything(transaction, history?.highestEpoch),
          networks: await forgetFamiliarNetworks.count(transaction),
          deleted: history ? await deleteUsersAgain.rows(transaction, { ids: [...history.deleted] }) : [],
          disabled: history
            ? await disableChangedPasswords.rows(transaction, {
                ids: [...history.passwordEpochs.keys()],
                epochs: [...history.passwordEpochs.values()],
              })
            : [],
          allDisabled: choice.reason === "end-passwords" ? await disableAllPasswords.count(transaction) : 0,
        }));
        for (const keyId of done.revoked) audit("signing-key-revoked", { keyId });
        audit("all-sessions-ended", {});
        for (const { id } of done.deleted) audit("user-deleted", { userId: id, reason: "restored" });
        for (const { id } of done.disabled) audit("password-disabled", { userId: id });
        audit("database-restored", { reason: choice.reason });

        printLine("What the backup had brought back:");
        printLine(`${counted(done.revoked.length, "signing key")}: revoked. The new one is ${keys[0].kid}.`);
        printLine(
          `${counted(done.ended.sessions, "session")} of ${counted(done.ended.users, "user")}: ended, with every token.`,
        );
        printLine(`${counted(done.networks, "familiar network")}: forgotten.`);
        if (history?.droppedLines) {
          printLine(
            `The log lacks ${counted(history.droppedLines, "line")} that could not be written. What they said is not known:`,
          );
          printLine("to be sure, run latchkey restore --end-passwords as well.");
        }
        if (choice.reason === "audit-log") {
          printLine(`${counted(done.deleted.length, "deleted user")}: deleted again.`);
          for (const { id, username } of done.deleted) printLine(`  ${username}  ${id}`);
          const remedy = done.disabled.length > 0 ? " Set others by latchkey users set-password NAME:" : "";
          printLine(`${counted(done.disabled.length, "old password")}: disabled.${remedy}`);
          for (const { id, username } of done.disabled) printLine(`  ${username}  ${id}`);
        }
        if (choice.reason === "end-passwords") printLine(`${counted(done.allDisabled, "password")}: disabled.`);
        if (choice.reason === "keep-passwords")
          printLine(
            "Passwords that were changed since the backup, and users who were deleted: alive, as you asked for.",
          );
      },
      { migrates: true },
    );
  };

const deleteUsersAgain = statement({
  name: "delete-users-again",
  sql: "DELETE FROM users USING unnest(:ids) AS deleted (id) WHERE users.id = deleted.id RETURNING users.id, username",
  parameters: { ids: arrayOf(uuid) },
  columns: { id: uuid, username: text },
});

const forgetFamiliarNetworks = statement({
  name: "forget-familiar-networks",
  sql: "DELETE FROM familiar_networks",
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

/** After `endEverything`, too. */
const disableAllPasswords = statement({
  name: "disable-all-passwords",
  sql: `UPDATE users SET password_hash = '${disabledPassword}', password_epoch = token_epoch`,
});
