import type { components } from "../../generated/openapi.ts";
import { readPage } from "../lib/page.ts";
import type { Handler } from "../openapi/binding.ts";
import type { AuditStore, StoredEvent } from "./storeTypes.ts";

export const listAuditEvents =
  (store: Pick<AuditStore, "list">): Handler<"listAuditEvents"> =>
  async ({ query: { subject_id, actor_id, event, request_id, limit = 50, after } }) => {
    const filter = {
      subjectId: subject_id?.toLowerCase() ?? null,
      actorId: actor_id?.toLowerCase() ?? null,
      event: event ?? null,
      requestId: request_id ?? null,
    };
    const { items, next } = await readPage(
      limit,
      (count) => store.list(filter, count, after ?? null),
      ({ id }) => id,
    );
    return { status: 200, body: { events: items.map(representEvent), next: next ?? null } };
  };

export const representEvent = (row: StoredEvent): components["schemas"]["AuditEvent"] => ({
  id: row.id,
  occurred_at: row.occurredAt.toISOString(),
  event: row.event,
  actor: { id: row.actorId, name: row.actorName },
  subject: { id: row.subjectId, name: row.subjectName },
  address: row.address,
  request_id: row.requestId,
  details: row.details,
});
