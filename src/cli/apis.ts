/** `latchkey apis`: the APIs of other services, for which users get tokens. */

import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import type { components } from "../../generated/openapi.ts";
import { type Apis, createApis } from "../access/apis.ts";
import { representApi } from "../access/handlers.ts";
import { apiStore } from "../access/store.ts";
import { issuerOf, ownAudiences } from "../tokens/accessTokens.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { readText, requireValid } from "./input.ts";
import { optionTexts, parseLimit, parseSeconds } from "./options.ts";
import { pages } from "./paging.ts";
import { confirm, requireConfirmation } from "./prompt.ts";
import { printDone, printObject, printRows } from "./results.ts";
import type { Column } from "./table.ts";

type Api = components["schemas"]["Api"];
type ApiScope = components["schemas"]["ApiScope"];

const openApis = ({ config, database, audit }: Tools): Apis =>
  createApis({
    store: apiStore(database),
    ownAudiences: ownAudiences(issuerOf(config)),
    enforce: () => {}, // the running instances read the revocation
    audit,
  });

const scopeNames: Column<Api> = ["scopes", ({ scopes }) => scopes.map(({ name }) => name)];
const columns = ["audience", "name", scopeNames, "token_lifetime_seconds", "has_contract"] as const;
const lines = [
  "audience",
  "name",
  ["scopes", ({ scopes }: Api) => scopes.map(({ name, description }) => `${name} (${description})`)],
  "token_lifetime_seconds",
  "has_contract",
  "created_at",
  "updated_at",
] as const;

const texts = {
  audience: "the aud of its tokens, such as https://orders.example.com",
  name: "a name for people",
  scope: "a scope and what it allows, NAME=DESCRIPTION; repeat it for each scope",
  lifetime: "seconds until its tokens expire, at most TOKEN_TTL_SECONDS",
  contract: "its OpenAPI document (YAML or JSON), whose security forward-auth enforces",
};

export const defineApis: Define = (apis, execute) => {
  apis
    .command("list")
    .description("List the registered APIs.")
    .option("--limit <number>", optionTexts.limit, parseLimit)
    .option("--after <audience>", optionTexts.after)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("apis list"))
    .action(({ limit, after, json }) =>
      execute(
        withDatabase(async (tools) => {
          const read = async (limit: number, after: string | undefined) => {
            const { items, next } = await openApis(tools).list(limit, after);
            return { items: items.map(representApi), next };
          };
          await printRows(pages(read, { limit, after }), { columns, json, none: "There are no registered APIs." });
        }),
      ),
    );

  apis
    .command("show")
    .description("Show a registered API, with its scopes.")
    .argument("<audience>", texts.audience)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("apis show https://orders.example.com"))
    .action((audience, { json }) =>
      execute(
        withDatabase(async (tools) => printObject(representApi(await openApis(tools).find(audience)), json, lines)),
      ),
    );

  apis
    .command("create")
    .description("Register an API.")
    .argument("<audience>", texts.audience)
    .requiredOption("--name <text>", texts.name)
    .option("--scope <scope>", texts.scope, parseScopes)
    .option("--token-lifetime <seconds>", texts.lifetime, parseSeconds)
    .option("--contract <file>", texts.contract)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples('apis create https://orders.example.com --name Orders --scope "orders:read=See orders."'),
    )
    .action(async (audience, options) => {
      const { name, scope: scopes = [], tokenLifetime: tokenTtlSeconds = null, contract: file, json } = options;
      const contract = file === undefined ? undefined : await readText(file);
      const given = { audience, name, scopes, ...(contract !== undefined && { contract }) };
      await requireValid("NewApi", { ...given, token_lifetime_seconds: tokenTtlSeconds });
      await execute(
        withDatabase(async (tools) => {
          const api = await openApis(tools).create({ ...given, tokenTtlSeconds });
          await printObject(representApi(api), json, lines);
        }),
      );
    });

  apis
    .command("update")
    .description("Change a registered API. What is not given stays as it is.")
    .argument("<audience>", texts.audience)
    .option("--name <text>", texts.name)
    .option("--scope <scope>", `${texts.scope}. Replaces all scopes`, parseScopes)
    .option("--token-lifetime <seconds>", texts.lifetime, parseSeconds)
    .addOption(new Option("--contract <file>", texts.contract).conflicts("removeContract"))
    .option("--remove-contract", "remove its contract")
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        "apis update https://orders.example.com --token-lifetime 300",
        'apis update https://orders.example.com --scope "orders:read=See orders." --scope "orders:write=Place orders."',
      ),
    )
    .action(async (audience, options) => {
      const { name, scope: scopes, tokenLifetime: tokenTtlSeconds, contract: file, removeContract, json } = options;
      const contract = removeContract ? null : file === undefined ? undefined : await readText(file);
      const change = {
        ...(name !== undefined && { name }),
        ...(scopes !== undefined && { scopes }),
        ...(tokenTtlSeconds !== undefined && { tokenTtlSeconds }),
        ...(contract !== undefined && { contract }),
      };
      if (Object.keys(change).length === 0) throw wrongUsage("apis update", "Change what? Give at least one option.");
      const { tokenTtlSeconds: token_lifetime_seconds, ...rest } = change;
      await requireValid("ApiChange", {
        ...rest,
        ...(token_lifetime_seconds !== undefined && { token_lifetime_seconds }),
      });
      await execute(
        withDatabase(async (tools) =>
          printObject(representApi(await openApis(tools).update(audience, change)), json, lines),
        ),
      );
    });

  apis
    .command("delete")
    .description(
      "Delete a registered API. No more tokens are issued for it. Those issued before are valid until they expire.",
    )
    .argument("<audience>", texts.audience)
    .option("--yes", optionTexts.yes)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("apis delete https://orders.example.com"))
    .action(async (audience, { yes, json }) => {
      requireConfirmation("apis delete", yes);
      await execute(
        withDatabase(async (tools) => {
          const open = openApis(tools);
          const api = await open.find(audience);
          if (!yes) await confirm(`Delete the API ${api.name} (${audience})?`);
          await open.remove(audience);
          await printDone(`Deleted the API ${audience}.`, representApi(api), json);
        }),
      );
    });
};

function parseScopes(text: string, previous: ApiScope[] | undefined): ApiScope[] {
  const [, name, description] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || description === undefined) throw new InvalidArgumentError("It must be NAME=DESCRIPTION.");
  return [...(previous ?? []), { name, description }];
}
