import type { components } from "../../generated/openapi.ts";
import type { Handler } from "../openapi/binding.ts";
import type { AuditStore, StoredEvent } from "./storeTypes.ts";

export const listAuditEvents =
  (store: Pick<AuditStore, "list">): Handler<"listAuditEvents"> =>
  async ({ query: { subject_id, actor_id, event, request_id, limit = 50, after } }) => {
    const filter = {
      subjectId: subject_id ?? null,
      actorId: actor_id ?? null,
      event: event ?? null,
      requestId: request_id ?? null,
    };
    const found = await store.list(filter, limit + 1, after ?? null);
    const events = found.slice(0, limit);
    const next = found.length > limit ? (events.at(-1)?.id ?? null) : null;
    return { status: 200, body: { events: events.map(representEvent), next } };
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
