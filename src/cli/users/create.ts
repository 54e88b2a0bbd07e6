/** `latchkey users create`. */
import { operator } from "../../users/administration/actor.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { collect, optionTexts } from "../options.ts";
import { readNewPassword, requirePasswordSource } from "../prompt.ts";
import { openUsers, printUser } from "./accounts.ts";

export const defineCreate: Define = (users, execute) => {
  users
    .command("create")
    .description("Create a user. Asks for the password, unless it is on standard input.")
    .argument("<name>", "the username")
    .option("--role <role>", "assign a role; repeat it for each role", collect)
    .option("--password-stdin", optionTexts.passwordStdin)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        "users create miguel",
        "users create susan --role administrator",
        "users create miguel --password-stdin < password.txt",
      ),
    )
    .action(async (username, { role: roles = [], passwordStdin, json }) => {
      requirePasswordSource("users create", passwordStdin);
      await execute(
        withDatabase(async (tools) => {
          const password = await readNewPassword();
          await printUser(await openUsers(tools).create({ username, password, roles }, operator), json);
        }),
      );
    });
};
