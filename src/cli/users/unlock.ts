/** `latchkey users unlock`: lets a user sign in again after too many wrong passwords. */
import { readSecretKeys } from "../../tokens/secretKey.ts";
import { representUser } from "../../users/representUser.ts";
import { unlockAccount } from "../account.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { printDone } from "../results.ts";
import { findUser } from "./accounts.ts";

export const defineUnlock: Define = (users, execute) => {
  users
    .command("unlock")
    .description("Reset the counts of wrong passwords that prevent the user from signing in.")
    .argument("<name>", optionTexts.name)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users unlock miguel"))
    .action((name, { json }) =>
      execute(
        withDatabase(async (tools) => {
          const user = await findUser(tools, name);
          const { id, username } = user;
          const { config, database, audit } = tools;
          const isUnlocked = await unlockAccount(database, (await readSecretKeys(config)).counting, username);
          if (isUnlocked) audit("account-unlocked", { userId: id });
          const sentence = isUnlocked
            ? "The counts of wrong passwords are reset. An instance may still reject attempts for two seconds."
            : "No wrong passwords are counted for this user.";
          await printDone(sentence, representUser(user), json);
        }),
      ),
    );
};
