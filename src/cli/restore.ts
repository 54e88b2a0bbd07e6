/** `latchkey restore`: after a backup was restored, ends what had been ended since and is alive again. */
import type { Knex } from "knex";
import { daySeconds } from "../config/values.ts";
import { disabledPassword } from "../passwords/hashing.ts";
import { createSeal, makeKey } from "../tokens/sealing.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import { type History, readHistory } from "./auditLog.ts";
import { type Command, counted, type Run, readArguments, say, UsageError } from "./command.ts";
import { withDatabase } from "./database.ts";
import { assumeLongestLifetime, endEverything, replaceKeys } from "./endings.ts";

const explanation = `Say what to do about passwords: those that were changed since the backup are valid again, and the
restored database cannot know which these are.

  latchkey restore --audit-log FILE    disables the passwords that were changed since, and deletes again the users who
                                       were deleted since, by the service's log; repeat it for each file
  latchkey restore --end-passwords     disables every password
  latchkey restore --keep-passwords    leaves them: old passwords work again

Somebody whose password is disabled gets another one by latchkey users set-password NAME.`;

type Passwords = { reason: "audit-log"; files: string[] } | { reason: "end-passwords" | "keep-passwords" };
type User = { id: string; username: string };

export const restore: Command = (args) => {
  const { positionals, values } = readArguments(args, {
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
          networks: await transaction("familiar_networks").delete(),
          deleted: history ? await deleteUsers(transaction, history) : [],
          disabled: history ? await disableChanged(transaction, history) : [],
          allDisabled: choice.reason === "end-passwords" ? await disableAll(transaction) : 0,
        }));
        for (const keyId of done.revoked) audit("signing-key-revoked", { keyId });
        audit("all-sessions-ended", {});
        for (const { id } of done.deleted) audit("user-deleted", { userId: id, reason: "restored" });
        for (const { id } of done.disabled) audit("password-disabled", { userId: id });
        audit("database-restored", { reason: choice.reason });

        say("What the backup had brought back:");
        say(`${counted(done.revoked.length, "signing key")}: revoked. The new one is ${keys[0].kid}.`);
        say(
          `${counted(done.ended.sessions, "session")} of ${counted(done.ended.users, "user")}: ended, with every token.`,
        );
        say(`${counted(done.networks, "familiar network")}: forgotten.`);
        if (history?.droppedLines) {
          say(
            `The log lacks ${counted(history.droppedLines, "line")} that could not be written. What they said is not known:`,
          );
          say("to be sure, run latchkey restore --end-passwords as well.");
        }
        if (choice.reason === "audit-log") {
          say(`${counted(done.deleted.length, "deleted user")}: deleted again.`);
          for (const { id, username } of done.deleted) say(`  ${username}  ${id}`);
          const remedy = done.disabled.length > 0 ? " Set others by latchkey users set-password NAME:" : "";
          say(`${counted(done.disabled.length, "old password")}: disabled.${remedy}`);
          for (const { id, username } of done.disabled) say(`  ${username}  ${id}`);
        }
        if (choice.reason === "end-passwords") say(`${counted(done.allDisabled, "password")}: disabled.`);
        if (choice.reason === "keep-passwords")
          say("Passwords that were changed since the backup, and users who were deleted: alive, as you asked for.");
      },
      { migrates: true },
    );
  };

async function deleteUsers(transaction: Knex.Transaction, { deleted }: History): Promise<User[]> {
  const { rows } = await transaction.raw<{ rows: User[] }>(
    `DELETE FROM users USING json_array_elements_text(?::json) AS deleted WHERE id = deleted::uuid
     RETURNING id, username`,
    [JSON.stringify([...deleted])],
  );
  return rows;
}

/**
 * Where the change that the log knows is not in the database, the password is an older one. As `endEverything` before
 * it has raised every token epoch, a sign-in that has read the hash before the commit gets nothing after it.
 */
async function disableChanged(transaction: Knex.Transaction, { passwordEpochs }: History): Promise<User[]> {
  const changes = [...passwordEpochs].map(([id, epoch]) => ({ id, epoch }));
  const { rows } = await transaction.raw<{ rows: User[] }>(
    `UPDATE users SET password_hash = ?, password_epoch = token_epoch
     FROM json_to_recordset(?::json) AS change(id uuid, epoch integer)
     WHERE users.id = change.id AND password_epoch < change.epoch
     RETURNING users.id, username`,
    [disabledPassword, JSON.stringify(changes)],
  );
  return rows;
}

/** After `endEverything`, as `disableChanged`. */
async function disableAll(transaction: Knex.Transaction): Promise<number> {
  return transaction("users").update({
    password_hash: disabledPassword,
    password_epoch: transaction.ref("token_epoch"),
  });
}
