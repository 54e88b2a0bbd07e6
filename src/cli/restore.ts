/** `latchkey restore`: after a backup was restored, revokes again what was revoked since the backup was made. */
import { daySeconds } from "../config/values.ts";
import { statement } from "../database/sql.ts";
import { UsageError } from "../errors.ts";
import { disabledPassword } from "../passwords/hashing.ts";
import { makeNewKeys } from "../tokens/keyRotation.ts";
import { createSeal } from "../tokens/sealing.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import { signingKeyStore } from "../tokens/store.ts";
import type { Define } from "./arguments.ts";
import { type AuditHistory, readAuditLog } from "./auditLog.ts";
import { assumeLongestLifetime, type Ended, endEverything, replaceKeys } from "./bulkRevocation.ts";
import { type Tools, withDatabase } from "./database.ts";
import { counted, printLine } from "./output.ts";
import { logRepeated, printRepeated, type Repeated, repeatChanges } from "./repeatedChanges.ts";
import { type EndedForClients, endForClients, printEndedForClients } from "./restoredClients.ts";

const explanation = `Choose what happens to passwords that were changed since the backup: the old ones are valid again, and the restored
database does not know which passwords these are.

  latchkey restore --audit-log FILE    disables the passwords that were changed since, and repeats deletions of users and
                                       clients, blocks and changes of roles, according to the log of the service. Repeat it
                                       for each file.
  latchkey restore --end-passwords     disables every password
  latchkey restore --keep-passwords    keeps the old passwords valid

To set a new password for a user whose password is disabled, run latchkey users set-password NAME.`;

type PasswordChoice = { reason: "audit-log"; files: string[] } | { reason: "end-passwords" | "keep-passwords" };

export const defineRestore: Define = (restore, execute) => {
  restore
    .option(
      "--audit-log <file...>",
      "disable passwords and repeat changes of users as in this log; repeat it for each file",
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
  { config, database, atomically, audit }: Tools,
  choice: PasswordChoice,
  history: AuditHistory | undefined,
): Promise<void> {
  const seal = createSeal((await readSecretKeys(config)).sealing);
  const rotationSeconds = config.keyRotationDays * daySeconds;
  const store = signingKeyStore(database);
  const keys = await makeNewKeys({ store, seal, rotationSeconds, algorithm: config.signingAlg });
  const done = await atomically(async (transaction) => ({
    lifetimes: await assumeLongestLifetime(transaction),
    revoked: await replaceKeys(transaction, keys, rotationSeconds),
    ended: await endEverything(transaction, history?.highestEpoch),
    networks: await forgetFamiliarNetworks.count(transaction),
    keySecrets: await endKeySecrets.count(transaction),
    clients: await endForClients(transaction),
    repeated: history && (await repeatChanges(transaction, history)),
    allDisabled: choice.reason === "end-passwords" ? await disableAllPasswords.count(transaction) : 0,
  }));
  for (const keyId of done.revoked) audit("signing-key-revoked", { keyId });
  audit("all-sessions-ended", {});
  if (done.repeated) logRepeated(done.repeated, audit);
  audit("database-restored", { reason: choice.reason });
  printResult(choice, { ...done, newKeyId: keys[0].kid, droppedLines: history?.droppedLines ?? 0 });
}

type Result = {
  revoked: string[];
  newKeyId: string;
  ended: Ended;
  networks: number;
  keySecrets: number;
  clients: EndedForClients;
  repeated: Repeated | undefined;
  allDisabled: number;
  droppedLines: number;
};

function printResult({ reason }: PasswordChoice, result: Result): void {
  const { ended } = result;
  printLine("Restored from the backup:");
  printLine(`${counted(result.revoked.length, "signing key")}: revoked. The new one is ${result.newKeyId}.`);
  printLine(`${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}: ended, with every token.`);
  printLine(`${counted(result.networks, "familiar network")}: forgotten.`);
  printLine(`${counted(result.keySecrets, "secret")} of API keys: ended. A rotation gives a key a new one.`);
  printEndedForClients(result.clients);
  if (result.droppedLines > 0) {
    printLine(
      `The log lacks ${counted(result.droppedLines, "line")} that could not be written. They may have contained`,
    );
    printLine(
      "changes of passwords, deletions, blocks and changes of roles. Run latchkey restore --end-passwords as well,",
    );
    printLine("and compare the users, their roles and blocks with what they should be.");
  }
  if (result.repeated) printRepeated(result.repeated);
  if (reason === "end-passwords") printLine(`${counted(result.allDisabled, "password")}: disabled.`);
  if (reason === "keep-passwords")
    printLine("Passwords that were changed since the backup: valid again, as requested.");
  if (!result.repeated)
    printLine(
      "Users and clients that were deleted since, blocks, and roles that were taken away: as in the backup, without the log.",
    );
}

const forgetFamiliarNetworks = statement({
  name: "forget-familiar-networks",
  sql: "DELETE FROM familiar_networks",
});

/**
 * The backup may contain keys that were deleted since, and secrets that were rotated. The keys stay, so that their owners need
 * not remember names and scopes.
 */
const endKeySecrets = statement({ name: "end-api-key-secrets", sql: "DELETE FROM api_key_secrets" });

/** This runs after `endEverything` for the reason that `disableChangedPasswords` has. */
const disableAllPasswords = statement({
  name: "disable-all-passwords",
  sql: `UPDATE users SET password_hash = '${disabledPassword}', password_epoch = token_epoch`,
});
