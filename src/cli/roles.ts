/** `latchkey roles`: sets of scopes that are assigned to users. */
import { representRole } from "../access/handlers.ts";
import { createRoles, type Roles } from "../access/roles.ts";
import { roleStore } from "../access/store.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { requireValid } from "./input.ts";
import { optionTexts, parseLimit } from "./options.ts";
import { pages } from "./paging.ts";
import { confirm, requireConfirmation } from "./prompt.ts";
import { printDone, printObject, printRows } from "./results.ts";

const openRoles = ({ database, audit }: Tools): Roles =>
  createRoles({
    store: roleStore(database),
    access: { requireScopes: async () => {} }, // an operator may grant every scope
    enforce: () => {}, // the running instances read the revocation
    audit,
  });

export const defineRoles: Define = (roles, execute) => {
  roles
    .command("list")
    .description("List the roles with their scopes.")
    .option("--limit <number>", optionTexts.limit, parseLimit)
    .option("--after <name>", optionTexts.after)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("roles list", "roles list --json"))
    .action(({ limit, after, json }) =>
      execute(
        withDatabase(async (tools) => {
          const read = async (limit: number, after: string | undefined) => {
            const { items, next } = await openRoles(tools).list(limit, after);
            return { items: items.map(representRole), next };
          };
          const columns = ["name", "scopes", "description"] as const;
          await printRows(pages(read, { limit, after }), { columns, json, none: "There are no roles." });
        }),
      ),
    );

  roles
    .command("show")
    .description("Show a role.")
    .argument("<name>", "the role")
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("roles show default"))
    .action((name, { json }) =>
      execute(withDatabase(async (tools) => printObject(representRole(await openRoles(tools).find(name)), json))),
    );

  roles
    .command("set")
    .description("Create a role, or replace its scopes. Tokens and API keys lose the removed scopes within a second.")
    .argument("<name>", "the role")
    .argument("[scopes...]", "all scopes that the role has from now on")
    .option("--none", "a role without scopes")
    .option("--description <text>", "what the role is for; by default, it stays as it is")
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples('roles set support users:read --description "Looks up users."', "roles set default --none"),
    )
    .action(async (name, scopes, { none = false, description: given, json }) => {
      // An empty variable in a script must not take all scopes.
      if (none !== (scopes.length === 0))
        throw wrongUsage("roles set", "Which scopes? latchkey roles set NAME SCOPE..., or --none.");
      await requireValid("RoleName", name);
      await requireValid("RoleDefinition", { scopes, ...(given !== undefined && { description: given }) });
      await execute(
        withDatabase(async (tools) => {
          const store = roleStore(tools.database);
          const description = given ?? (await store.find(name))?.description ?? "";
          const { role } = await openRoles(tools).put("operator", { name, description, scopes });
          await printObject(representRole(role), json);
        }),
      );
    });

  roles
    .command("delete")
    .description("Delete a role, and take it from all users.")
    .argument("<name>", "the role")
    .option("--yes", optionTexts.yes)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("roles delete support", "roles delete support --yes"))
    .action(async (name, { yes, json }) => {
      requireConfirmation("roles delete", yes);
      await execute(
        withDatabase(async (tools) => {
          const open = openRoles(tools);
          const role = await open.find(name);
          if (!yes) await confirm(`Delete the role ${name}, and take it from all users?`);
          await open.remove("operator", name);
          await printDone(`Deleted the role ${name}.`, representRole(role), json);
        }),
      );
    });
};
