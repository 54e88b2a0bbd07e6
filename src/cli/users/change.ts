/** `latchkey users block`, `unblock` and `set-roles`. */
import { operator } from "../../users/administration/actor.ts";
import type { UserChange } from "../../users/administration/storeTypes.ts";
import { type Define, type Execute, wrongUsage } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { findUser, openUsers, printUser } from "./accounts.ts";

type Change = { name: string; change: UserChange; json: true | undefined };

/** Prints the changed user. */
const changeUser = (execute: Execute, { name, change, json }: Change) =>
  execute(
    withDatabase(async (tools) => {
      const users = openUsers(tools);
      const { id } = await findUser(tools, name);
      await printUser(await users.change(id, change, operator), json);
    }),
  );

export const defineBlock: Define = (users, execute) => {
  users
    .command("block")
    .description("Reject the password of a user, and end all tokens, sessions and API keys within a second.")
    .argument("<name>", optionTexts.name)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users block miguel"))
    .action((name, { json }) => changeUser(execute, { name, change: { isBlocked: true }, json }));
};

export const defineUnblock: Define = (users, execute) => {
  users
    .command("unblock")
    .description("Accept the password of a blocked user again. Restores nothing else.")
    .argument("<name>", optionTexts.name)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users unblock miguel"))
    .action((name, { json }) => changeUser(execute, { name, change: { isBlocked: false }, json }));
};

export const defineSetRoles: Define = (users, execute) => {
  users
    .command("set-roles")
    .description(
      "Replace all roles of a user. Tokens and API keys lose the scopes of the removed roles within a second.",
    )
    .argument("<name>", optionTexts.name)
    .argument("[roles...]", "the roles that the user has from now on")
    .option("--none", "take all roles from the user")
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users set-roles miguel administrator", "users set-roles miguel --none"))
    .action(async (name, roles, { none = false, json }) => {
      // An empty variable in a script must not take all roles.
      if (none !== (roles.length === 0))
        throw wrongUsage("users set-roles", "Which roles? latchkey users set-roles NAME ROLE..., or --none.");
      await changeUser(execute, { name, change: { roles }, json });
    });
};
