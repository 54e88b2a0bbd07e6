/** `latchkey api-keys`: the API keys of a user. */

import type { components } from "../../generated/openapi.ts";
import { roleStore } from "../access/store.ts";
import { type ApiKeys, createApiKeys } from "../apiKeys/apiKeys.ts";
import { representApiKey } from "../apiKeys/handlers.ts";
import { apiKeyStore } from "../apiKeys/store.ts";
import { apiKeyId } from "../identifiers.ts";
import type { User } from "../users/storeTypes.ts";
import { type Define, type Execute, wrongUsage } from "./arguments.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { requireValid } from "./input.ts";
import { collect, optionTexts, parseId, parseLimit, parseSeconds, parseTime } from "./options.ts";
import { printMessage } from "./output.ts";
import { pages } from "./paging.ts";
import { readSecrets } from "./prompt.ts";
import { printDone, printObject, printRows } from "./results.ts";
import { findUser } from "./users/accounts.ts";

type ApiKey = components["schemas"]["ApiKey"];

const openApiKeys = ({ config, database, audit }: Tools): ApiKeys =>
  createApiKeys({
    store: apiKeyStore(database),
    // An operator may grant every scope, and administer every user.
    access: { requireScopes: async () => {} },
    requireAdministrable: async () => {},
    findApiScopes: roleStore(database).findApiScopes,
    enforce: () => {}, // the running instances read the revocation
    clock: () => new Date(),
    audit,
    keysPerUser: config.apiKeysPerUser,
  });

const secrets = ["secrets", ({ secrets }: ApiKey) => secrets.map(({ last_four }) => `…${last_four}`)] as const;
const lastUse = [
  "last used at",
  ({ secrets }: ApiKey) =>
    secrets
      .map(({ last_used_at }) => last_used_at ?? "")
      .sort()
      .at(-1),
] as const;
const columns = ["id", "name", "scopes", "expires_at", lastUse, secrets] as const;
const optional = ["secrets", "last used at", "expires_at"];
const lines = ["id", "name", "scopes", "created_at", "expires_at", lastUse, secrets] as const;
const created = ["key", "id", "name", "scopes", "created_at", "expires_at"] as const;

type Action = (keys: ApiKeys, user: User) => Promise<void>;

/** Runs an action for the keys of a user. */
const withUser = (execute: Execute, name: string, action: Action) =>
  execute(withDatabase(async (tools) => action(openApiKeys(tools), await findUser(tools, name))));

export const defineApiKeys: Define = (apiKeys, execute) => {
  apiKeys
    .command("list")
    .description("List the API keys of a user, newest first.")
    .requiredOption("--user <name>", optionTexts.name)
    .option("--limit <number>", optionTexts.limit, parseLimit)
    .option("--after <id>", optionTexts.after, parseId)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("api-keys list --user miguel"))
    .action(({ user: name, limit, after, json }) =>
      withUser(execute, name, async (open, user) => {
        const read = async (limit: number, after: string | undefined) => {
          const { items, next } = await open.list(user.id, limit, after);
          return { items: items.map(representApiKey), next };
        };
        const none = `${user.username} has no API keys.`;
        await printRows(pages(read, { limit, after }), { columns, optional, json, none });
      }),
    );

  apiKeys
    .command("show")
    .description("Show an API key of a user. The text of a key is not stored.")
    .argument("<id>", "the id of the key", parseId)
    .requiredOption("--user <name>", optionTexts.name)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("api-keys show 0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90 --user miguel"))
    .action((id, { user: name, json }) =>
      withUser(execute, name, async (open, user) =>
        printObject(representApiKey(await open.find(user.id, apiKeyId(id))), json, lines),
      ),
    );

  apiKeys
    .command("create")
    .description("Create an API key for a user, and print it. It is printed only now.")
    .requiredOption("--user <name>", optionTexts.name)
    .requiredOption("--name <text>", "what the key is for")
    .option("--scope <scope>", "a scope of the key; repeat it for each scope", collect)
    .option("--expires-at <time>", "when it expires, such as 2027-01-31 or 2027-01-31T12:00:00Z", parseTime)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        "api-keys create --user backup --name cron --scope users:read",
        "api-keys create --user miguel --name laptop --expires-at 2027-01-31",
      ),
    )
    .action(async ({ user: name, name: keyName, scope: scopes = [], expiresAt = null, json }) => {
      await requireValid("NewApiKey", { name: keyName, scopes, expires_at: expiresAt?.toISOString() ?? null });
      await withUser(execute, name, async (open, { id: userId }) => {
        const key = await open.create({ proof: "operator", userId }, { name: keyName, scopes, expiresAt });
        await printObject({ ...representApiKey(key), key: key.key }, json, created);
      });
    });

  apiKeys
    .command("rotate")
    .description("Add a secret to an API key, and print it. The previous one ends after the overlap.")
    .argument("<id>", "the id of the key", parseId)
    .requiredOption("--user <name>", optionTexts.name)
    .option(
      "--overlap <seconds>",
      "how long the previous secret is accepted; by default it ends at once",
      parseSeconds,
      0,
    )
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples("api-keys rotate 0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90 --user miguel --overlap 86400"),
    )
    .action(async (id, { user: name, overlap, json }) => {
      await requireValid("ApiKeyRotation", { overlap_seconds: overlap });
      await withUser(execute, name, async (open, { id: userId }) => {
        const key = await open.rotate({ proof: "operator", userId }, apiKeyId(id), overlap);
        await printObject({ ...representApiKey(key), key: key.key }, json, created);
      });
    });

  apiKeys
    .command("revoke")
    .description("Delete an API key. Every instance rejects it within a second.")
    .argument("[id]", "the id of the key", parseId)
    .option("--user <name>", optionTexts.name)
    .option("--key-stdin", "read the text of the key from the first line of standard input")
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        "api-keys revoke 0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90 --user miguel",
        "api-keys revoke --key-stdin < found-key.txt",
      ),
    )
    .action(async (id, { user: name, keyStdin = false, json }) => {
      if (keyStdin && id === undefined && name === undefined)
        return execute(
          withDatabase(async (tools) => {
            await openApiKeys(tools).revoke((await readSecrets(["API key: "]))[0] ?? "");
            printMessage("If there was such a key, it is revoked.");
          }),
        );
      if (keyStdin || id === undefined || name === undefined)
        throw wrongUsage("api-keys revoke", "Which key? latchkey api-keys revoke ID --user NAME, or --key-stdin.");
      await withUser(execute, name, async (open, user) => {
        const key = await open.find(user.id, apiKeyId(id));
        await open.remove(user.id, key.id);
        await printDone("Revoked the API key.", representApiKey(key), json);
      });
    });
};
