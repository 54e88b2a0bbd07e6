/** `latchkey users import`: brings users with the password hashes of another program. */
import { Option } from "@commander-js/extra-typings";
import { UsageError } from "../../errors.ts";
import { formats } from "../../users/transfer/entry.ts";
import { type ImportCounts, importUsers } from "../../users/transfer/importUsers.ts";
import type { Define } from "../arguments.ts";
import { type Tools, withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { counted, printMessage } from "../output.ts";
import { printObject } from "../results.ts";
import { type ImportOptions, openImport, requireNoneRefused } from "./importFile.ts";
import { rehearse } from "./rehearse.ts";

const explanation = `
Members or columns: username, password_hash, and optionally id (a UUID), created_at, blocked, roles.
Forms of a hash: sha256_crypt and sha512_crypt, bcrypt, argon2, {SSHA} of LDAP; PBKDF2 and scrypt as Django, Werkzeug and
passlib write them; scrypt of Firebase. It is replaced at the first sign-in. Existing users are not changed.
Exit status: 65 if lines were refused. The other users are imported.`;

export const defineImport: Define = (users, execute) => {
  users
    .command("import")
    .description("Import users with the password hashes of another program. Repeat it to continue.")
    .argument("<file>", "users as newline-delimited JSON or CSV; - is standard input")
    .addOption(new Option("--format <format>", "by default, that of the file's name").choices(formats))
    .option("--dry-run", "write nothing; show the forms of the hashes, and what they cost at a sign-in")
    .option("--check-password <name...>", "with --dry-run: ask for passwords of these users, and check them")
    .option("--errors <file>", "write the refused lines to a new file")
    .option("--json", "print JSON, also on a terminal")
    .addHelpText("after", explanation)
    .addHelpText(
      "after",
      examples("users import users.ndjson --dry-run", "users import users.csv --errors refused.csv"),
    )
    .action(async (file, { dryRun, checkPassword = [], ...options }) => {
      if (checkPassword.length > 0 && !dryRun) throw new UsageError("Use --check-password with --dry-run.");
      if (checkPassword.length > 0 && file === "-")
        throw new UsageError("Standard input is for the passwords to check: name the file of users.");
      await execute(
        withDatabase((tools) =>
          dryRun ? rehearse(tools, file, { ...options, names: checkPassword }) : runImport(tools, file, options),
        ),
      );
    });
};

async function runImport(tools: Tools, file: string, options: ImportOptions): Promise<void> {
  const opened = await openImport(tools, file, options);
  let counts: ImportCounts = { imported: 0, existing: 0, refused: 0 };
  const onProgress = (current: ImportCounts) => {
    counts = { ...current };
    opened.onProgress(current);
  };
  try {
    counts = await importUsers(opened.entries, { ...opened, onProgress });
  } catch (error) {
    if ((error as Error).name !== "AbortError") throw error;
    printMessage(`Interrupted after ${counted(counts.imported, "user")}. Repeat the command to continue.`);
    return;
  } finally {
    opened.close();
    // Also after an error: what was imported until then remains.
    tools.audit("users-imported", { ...counts, reason: "operator" });
  }
  await printObject(counts, options.json);
  requireNoneRefused(counts);
}
