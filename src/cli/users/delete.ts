/** `latchkey users delete`. */
import { operator } from "../../users/administration/actor.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { printLine } from "../output.ts";
import { confirm, requireConfirmation } from "../prompt.ts";
import { findUser, openUsers } from "./accounts.ts";

export const defineDelete: Define = (users, execute) => {
  users
    .command("delete")
    .description("Delete a user, with all sessions and API keys. This cannot be undone.")
    .argument("<name>", optionTexts.name)
    .option("--yes", optionTexts.yes)
    .addHelpText("after", examples("users delete miguel", "users delete miguel --yes"))
    .action(async (name, { yes }) => {
      requireConfirmation("users delete", yes);
      await execute(
        withDatabase(async (tools) => {
          const users = openUsers(tools);
          const { id, username } = await findUser(tools, name);
          if (!yes) await confirm(`Delete the user ${username} (${id})?`);
          await users.remove(id, operator);
          printLine(`Deleted the user ${username}.`);
        }),
      );
    });
};
