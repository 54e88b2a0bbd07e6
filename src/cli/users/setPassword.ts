/** `latchkey users set-password`: for a user who has forgotten the password, or whose account was taken over. */
import { readSecretKeys } from "../../tokens/secretKey.ts";
import { operator } from "../../users/administration/actor.ts";
import { noUser, unlockAccount } from "../account.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { printLine } from "../output.ts";
import { readInput, readNewPassword } from "../prompt.ts";
import { explainPassword, openAdministration } from "./accounts.ts";

export const defineSetPassword: Define = (users, execute) => {
  users
    .command("set-password")
    .description("Set the password of a user. Ends every session and every token of the user.")
    .argument("<name>", optionTexts.name)
    .option("--password-stdin", "read the password from the first line of standard input")
    .addHelpText("after", examples("users set-password miguel", "users set-password miguel < new-password.txt"))
    .action((name, { passwordStdin }) =>
      execute(
        withDatabase(async (tools) => {
          const administration = openAdministration(tools);
          const user = await administration.find(name);
          if (!user) throw noUser(name);
          // Without the option, a file of several lines is an error and not a shorter password.
          const password = passwordStdin || process.stdin.isTTY ? await readNewPassword() : await readInput();
          await administration.setPassword(user.id, { newPassword: password }, operator).catch(explainPassword);
          await unlockAccount(tools.database, (await readSecretKeys(tools.config)).counting, user.username);
          printLine("The password is set. Every session and every token of the user has ended.");
        }),
      ),
    );
};
