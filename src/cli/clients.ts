/** `latchkey clients`: the programs that get tokens by OAuth. */
import { Option } from "@commander-js/extra-typings";
import type { components } from "../../generated/openapi.ts";
import { roleStore } from "../access/store.ts";
import { type ClientAdministration, createClientAdministration } from "../clients/administration/administration.ts";
import { changeIn, definitionIn, representClient, representSecret } from "../clients/administration/handlers.ts";
import { clientAdministrationStore } from "../clients/administration/store.ts";
import { clientId, clientSecretId } from "../identifiers.ts";
import { type Define, type Execute, wrongUsage } from "./arguments.ts";
import { clearable, collectCleared, collectGrants, membersOf } from "./clients/members.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { requireValid } from "./input.ts";
import { collect, optionTexts, parseId, parseLimit } from "./options.ts";
import { printLine, printMessage } from "./output.ts";
import { pages } from "./paging.ts";
import { confirm, requireConfirmation } from "./prompt.ts";
import { printObject, printRows } from "./results.ts";

type Client = components["schemas"]["Client"];
type Secret = components["schemas"]["ClientSecret"];
type ChangeBody = components["schemas"]["ClientChange"];

const openClients = ({ database, audit }: Tools): ClientAdministration =>
  createClientAdministration({
    store: clientAdministrationStore(database),
    access: { requireScopes: async () => {} }, // an operator may grant every scope
    findApiScopes: roleStore(database).findApiScopes,
    enforce: () => {}, // the running instances read the revocation
    audit,
  });

const useOf = ({ last_four, last_used_at }: Secret): string => `…${last_four}, last used ${last_used_at ?? "never"}`;
const secrets = ["secrets", ({ secrets }: Client) => secrets.map(({ last_four }) => `…${last_four}`)] as const;
const columns = ["client_id", "name", "public", "grant_types", "scopes", secrets] as const;
const lines = [
  "client_id",
  "name",
  "public",
  "token_endpoint_auth_method",
  "grant_types",
  "redirect_uris",
  "post_logout_redirect_uris",
  "scopes",
  "audiences",
  "first_party",
  ["secrets", ({ secrets }: Client) => secrets.map((secret) => `${secret.id} (${useOf(secret)})`)],
  "created_at",
  "updated_at",
] as const;

const id = "lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b";
const texts = {
  id: "the client_id",
  name: "a name for people",
  grant: "authorization_code, client_credentials, refresh_token or device_code; repeat it for each grant",
  redirectUri: "where a browser is sent after an authorization; repeat it for each URI",
  postLogoutRedirectUri: "where a browser is sent after a sign-out; repeat it for each URI",
  scope: "a scope that it may ask for; repeat it for each scope",
  audience: "a registered API that it may get tokens for; repeat it for each API",
  firstParty: "it is one of your own programs, and users are not asked for their consent",
  jwks: "a file with its public keys (a JWK Set), for private_key_jwt",
  jwksUri: "the URL of its public keys, for private_key_jwt",
};
const links = {
  logo: ["--logo-uri <url>", "the URL of its logo"],
  client: ["--client-uri <url>", "the URL of its home page"],
  policy: ["--policy-uri <url>", "the URL of its privacy policy"],
  terms: ["--tos-uri <url>", "the URL of its terms of service"],
} as const;
export const defineClients: Define = (clients, execute) => {
  clients
    .command("list")
    .description("List the clients in the order of their registration.")
    .option("--limit <number>", optionTexts.limit, parseLimit)
    .option("--after <id>", optionTexts.after)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("clients list"))
    .action(({ limit, after, json }) =>
      withClients(execute, async (open) => {
        const read = async (limit: number, after: string | undefined) => {
          const { items, next } = await open.list(limit, after);
          return { items: items.map(representClient), next };
        };
        await printRows(pages(read, { limit, after }), { columns, json, none: "There are no clients." });
      }),
    );

  clients
    .command("show")
    .description("Show a client, and when each of its secrets was last used.")
    .argument("<id>", texts.id)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples(`clients show ${id}`))
    .action((id, { json }) =>
      withClients(execute, async (open) => printObject(representClient(await open.find(clientId(id))), json, lines)),
    );

  clients
    .command("create")
    .description("Register a client, and print its id and its secret. The secret cannot be printed again.")
    .argument("<name>", texts.name)
    .requiredOption("--grant <grant>", texts.grant, collectGrants)
    .option("--public", "it cannot keep a secret, such as an app on a phone")
    .option("--redirect-uri <uri>", texts.redirectUri, collect)
    .option("--post-logout-redirect-uri <uri>", texts.postLogoutRedirectUri, collect)
    .option("--scope <scope>", texts.scope, collect)
    .option("--audience <audience>", texts.audience, collect)
    .option("--first-party", texts.firstParty)
    .addOption(new Option("--jwks <file>", texts.jwks).conflicts("public"))
    .addOption(new Option("--jwks-uri <url>", texts.jwksUri).conflicts(["public", "jwks"]))
    .option(...links.logo)
    .option(...links.client)
    .option(...links.policy)
    .option(...links.terms)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        'clients create "Nightly report" --grant client_credentials --scope users:read',
        "clients create App --public --grant authorization_code --redirect-uri https://app.example/callback",
      ),
    )
    .action(async (name, { public: isPublic, json, ...options }) => {
      const { grant: grant_types, ...others } = options;
      const members = await membersOf(others);
      const hasKeys = options.jwks !== undefined || options.jwksUri !== undefined;
      const body = await requireValid("NewClient", {
        name,
        grant_types,
        ...members,
        ...(isPublic && { public: true }),
        ...(hasKeys && { token_endpoint_auth_method: "private_key_jwt" as const }),
      });
      await withClients(execute, async (open) => {
        const { client, secret } = await open.create("operator", definitionIn(body));
        await printObject({ client_id: client.id, ...(secret !== undefined && { client_secret: secret }) }, json);
      });
    });

  clients
    .command("update")
    .description("Change a client. What is not given stays as it is.")
    .argument("<id>", texts.id)
    .option("--name <text>", texts.name)
    .option("--grant <grant>", `${texts.grant}. Replaces all grants`, collectGrants)
    .option("--redirect-uri <uri>", `${texts.redirectUri}. Replaces all`, collect)
    .option("--post-logout-redirect-uri <uri>", `${texts.postLogoutRedirectUri}. Replaces all`, collect)
    .option("--scope <scope>", `${texts.scope}. Replaces all`, collect)
    .option("--audience <audience>", `${texts.audience}. Replaces all`, collect)
    .option("--first-party", texts.firstParty)
    .option("--no-first-party", "users are asked for their consent")
    .addOption(new Option("--jwks <file>", texts.jwks))
    .addOption(new Option("--jwks-uri <url>", texts.jwksUri).conflicts("jwks"))
    .option(...links.logo)
    .option(...links.client)
    .option(...links.policy)
    .option(...links.terms)
    .option("--clear <list>", `empty a list: ${clearable.join(", ")}`, collectCleared)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples(`clients update ${id} --scope users:read --scope roles:read`))
    .action(async (id, { name, clear = [], json, ...options }) => {
      const given = await membersOf(options);
      const cleared = Object.fromEntries(clear.map((list) => [list.replaceAll("-", "_"), []]));
      const change: ChangeBody = {
        ...given,
        ...(name !== undefined && { name }),
        ...(given.jwks && { jwks_uri: null }),
        ...(given.jwks_uri && { jwks: null }),
        ...cleared,
      };
      if (Object.keys(change).length === 0)
        throw wrongUsage("clients update", "Change what? Give at least one option.");
      const body = await requireValid("ClientChange", change);
      await withClients(execute, async (open) => {
        const update = { change: changeIn(body), isExpected: () => true };
        await printObject(representClient(await open.update("operator", clientId(id), update)), json, lines);
      });
    });

  clients
    .command("rotate-secret")
    .description("Add a secret to a client, and print it. The previous one is accepted until it is ended.")
    .argument("<id>", texts.id)
    .option("--end-previous", "end every previous secret at once")
    .option("--json", optionTexts.json)
    .addHelpText("after", examples(`clients rotate-secret ${id}`, `clients rotate-secret ${id} --end-previous`))
    .action((id, { endPrevious = false, json }) =>
      withClients(execute, async (open) => {
        const [newest, ...older] = (await open.find(clientId(id))).secrets;
        const end = (secret: { id: Parameters<typeof open.removeSecret>[2] }) =>
          open.removeSecret("operator", clientId(id), secret.id);
        if (endPrevious) for (const secret of older) await end(secret);
        const { text, ...added } = await open.addSecret("operator", clientId(id));
        await printObject({ client_id: id, client_secret: text, secret_id: added.id }, json);
        if (!newest) return;
        if (endPrevious) return end(newest);
        const previous = representSecret(newest);
        printMessage(
          `The previous secret is ${useOf(previous)}. To end it: latchkey clients end-secret ${id} ${previous.id}`,
        );
      }),
    );

  clients
    .command("end-secret")
    .description("End a secret of a client. Every instance rejects it within a second.")
    .argument("<id>", texts.id)
    .argument("<secret-id>", "the id of the secret", parseId)
    .addHelpText("after", examples(`clients end-secret ${id} 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3c`))
    .action((id, secretId) =>
      withClients(execute, async (open) => {
        await open.removeSecret("operator", clientId(id), clientSecretId(secretId));
        printLine("Ended the secret.");
      }),
    );

  clients
    .command("delete")
    .description("Delete a client. Its tokens and sessions are revoked, and the grants of its users are deleted.")
    .argument("<id>", texts.id)
    .option("--yes", optionTexts.yes)
    .addHelpText("after", examples(`clients delete ${id}`))
    .action(async (id, { yes }) => {
      requireConfirmation("clients delete", yes);
      await withClients(execute, async (open) => {
        const { name } = await open.find(clientId(id));
        if (!yes) await confirm(`Delete the client ${name} (${id})?`);
        await open.remove("operator", clientId(id), () => true);
        printLine(`Deleted the client ${id}.`);
      });
    });
};

const withClients = (execute: Execute, action: (clients: ClientAdministration) => Promise<void>) =>
  execute(withDatabase(async (tools) => action(openClients(tools))));
