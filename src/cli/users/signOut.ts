/** `latchkey users sign-out`. */
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts } from "../options.ts";
import { endOf } from "../sessions.ts";

export const defineSignOut: Define = (users, execute) => {
  users
    .command("sign-out")
    .description("End every session and every token of a user. The password stays valid.")
    .argument("<name>", optionTexts.name)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users sign-out miguel"))
    .action((name, { json }) => execute(withDatabase((tools) => endOf(tools, name, json))));
};
