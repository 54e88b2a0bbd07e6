/** `latchkey users list` and `latchkey users show`. */
import { representUser } from "../../users/representUser.ts";
import type { Define } from "../arguments.ts";
import { withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { optionTexts, parseLimit } from "../options.ts";
import { pages } from "../paging.ts";
import { printRows } from "../results.ts";
import { findUser, openUsers, printUser, userColumns } from "./accounts.ts";

export const defineList: Define = (users, execute) => {
  users
    .command("list")
    .description("List users in the order of their names.")
    .option("--prefix <text>", "only those whose name begins with this text")
    .option("--role <role>", "only those to whom this role is assigned")
    .option("--blocked", "only those who are blocked")
    .option("--limit <number>", optionTexts.limit, parseLimit)
    .option("--after <name>", optionTexts.after)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples("users list", "users list --prefix mi --limit 20", "users list --role administrator --json"),
    )
    .action(({ prefix, role, blocked, limit, after, json }) =>
      execute(
        withDatabase(async (tools) => {
          const accounts = openUsers(tools);
          const read = async (limit: number, after: string | undefined) => {
            const query = { usernamePrefix: prefix, role, isBlocked: blocked };
            const { items, next } = await accounts.list(query, { limit, after });
            return { items: items.map(representUser), next };
          };
          await printRows(pages(read, { limit, after }), {
            columns: userColumns,
            optional: ["created_at"],
            json,
            none: "There are no such users.",
          });
        }),
      ),
    );
};

export const defineShow: Define = (users, execute) => {
  users
    .command("show")
    .description("Show a user.")
    .argument("<name>", optionTexts.name)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("users show miguel", "users show 0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90"))
    .action((name, { json }) => execute(withDatabase(async (tools) => printUser(await findUser(tools, name), json))));
};
