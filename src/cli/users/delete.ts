/** `latchkey users delete`. */
import { operator } from "../../users/administration/actor.ts";
import { representUser } from "../../users/representUser.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { confirm, requireConfirmation } from "../prompt.ts";
import { printDone } from "../results.ts";
import { findUser, openUsers } from "./accounts.ts";

export const defineDelete: Define = (users, execute) => {
  users
    .command("delete")
    .description("Delete a user, with all sessions and API keys. This cannot be undone.")
    .argument("<name>", optionTexts.name)
    .option("--yes", optionTexts.yes)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users delete miguel", "users delete miguel --yes"))
    .action(async (name, { yes, json }) => {
      requireConfirmation("users delete", yes);
      await execute(
        withDatabase(async (tools) => {
          const users = openUsers(tools);
          const user = await findUser(tools, name);
          const { id, username } = user;
          if (!yes) await confirm(`Delete the user ${username} (${id})?`);
          await users.remove(id, operator);
          await printDone(`Deleted the user ${username}.`, representUser(user), json);
        }),
      );
    });
};
