/** `latchkey users set-password`: for a user who has forgotten the password, or whose account was taken over. */
import { readSecretKeys } from "../../tokens/secretKey.ts";
import { operator } from "../../users/administration/actor.ts";
import { representUser } from "../../users/representUser.ts";
import { unlockAccount } from "../account.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { readInput, readNewPassword } from "../prompt.ts";
import { printDone } from "../results.ts";
import { findUser, openUsers } from "./accounts.ts";

export const defineSetPassword: Define = (users, execute) => {
  users
    .command("set-password")
    .description("Set the password of a user. Ends every session, token and API key of the user.")
    .argument("<name>", optionTexts.name)
    .option("--password-stdin", optionTexts.passwordStdin)
    .option("--keep-api-keys", "do not delete the user's API keys")
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples("users set-password miguel", "users set-password miguel --password-stdin < new-password.txt"),
    )
    .action((name, { passwordStdin, keepApiKeys, json }) =>
      execute(
        withDatabase(async (tools) => {
          const users = openUsers(tools);
          const user = await findUser(tools, name);
          const { id, username } = user;
          // Without the option, a file of several lines is an error and not a shorter password.
          const password = passwordStdin || process.stdin.isTTY ? await readNewPassword() : await readInput();
          await users.setPassword(id, { newPassword: password, keepApiKeys }, operator);
          await unlockAccount(tools.database, (await readSecretKeys(tools.config)).counting, username);
          const ended = keepApiKeys ? "sessions and tokens" : "sessions, tokens and API keys";
          await printDone(`The password is set. All ${ended} of the user have ended.`, representUser(user), json);
        }),
      ),
    );
};
