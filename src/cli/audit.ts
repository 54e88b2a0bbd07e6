/** `latchkey audit`: the stored audit events. */

import type { components } from "../../generated/openapi.ts";
import { auditEvents } from "../audit/audit.ts";
import { representEvent } from "../audit/handlers.ts";
import { auditStore } from "../audit/store.ts";
import { readPage } from "../lib/page.ts";
import { isUuid } from "./account.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { optionTexts, parseLimit, parseTime } from "./options.ts";
import { pages } from "./paging.ts";
import { printRows } from "./results.ts";
import { findUser } from "./users/accounts.ts";

type Event = components["schemas"]["AuditEvent"];

const defaultLimit = 100;

const columns = [
  "occurred_at",
  "event",
  ["subject", ({ subject }: Event) => subject.name ?? subject.id],
  ["actor", ({ actor }: Event) => actor.name ?? actor.id],
  "address",
  [
    "details",
    ({ details }: Event) =>
      Object.entries(details)
        .map(([name, value]) => `${name}: ${value}`)
        .join(", "),
  ],
] as const;

export const defineAudit: Define = (audit, execute) => {
  audit
    .option("--user <name>", "only those about the user with this name or id")
    .option("--actor <name>", "only what the user with this name or id did")
    .option("--event <event>", "only this event, such as password-refused")
    .option("--request-id <id>", "only those of this request, the X-Request-Id of its response")
    .option("--since <time>", "only those since a date, or a time such as 2026-11-26T04:00:00Z", parseTime)
    .option("--limit <number>", optionTexts.limit, parseLimit, defaultLimit)
    .option("--after <id>", optionTexts.after)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        "audit --user miguel",
        "audit --event password-refused --since 2026-11-01 --limit 1000",
        "audit --request-id 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e --json",
      ),
    )
    .action(async (options) => {
      const { event, requestId, after } = options;
      if (event !== undefined && !Object.hasOwn(auditEvents, event))
        throw wrongUsage("audit", `There is no event ${JSON.stringify(event)}.`);
      if (requestId !== undefined && !isUuid(requestId)) throw wrongUsage("audit", "A request id is a UUID.");
      if (after !== undefined && !/^\d{1,18}$/.test(after))
        throw wrongUsage("audit", "The value of --after is a number.");
      await execute(withDatabase((tools) => list(tools, options)));
    });
};

type Options = {
  user?: string;
  actor?: string;
  event?: string;
  requestId?: string;
  since?: Date;
  limit: number;
  after?: string;
  json?: true;
};

async function list(tools: Tools, { user, actor, event, requestId, since, limit, after, json }: Options) {
  const store = auditStore(tools.database);
  const filter = {
    subjectId: user === undefined ? null : await idOf(tools, user),
    actorId: actor === undefined ? null : await idOf(tools, actor),
    event: event ?? null,
    requestId: requestId ?? null,
  };
  const read = async (limit: number, after: string | undefined) => {
    const { items, next } = await readPage(
      limit,
      (count) => store.list(filter, count, after ?? null),
      ({ id }) => id,
    );
    const recent = items.filter(({ occurredAt }) => since === undefined || occurredAt >= since);
    return { items: recent.map(representEvent), next: recent.length < items.length ? undefined : next };
  };
  await printRows(pages(read, { limit, after }), {
    columns,
    optional: ["address"],
    json,
    none: "There are no such events.",
  });
}

/** The events of a deleted user are found by id. @throws {StartError} if there is no user with this name */
const idOf = async (tools: Tools, nameOrId: string): Promise<string> =>
  isUuid(nameOrId) ? nameOrId.toLowerCase() : (await findUser(tools, nameOrId)).id;
