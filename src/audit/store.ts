import type { Database } from "../database/database.ts";
import { statement } from "../database/sql.ts";
import { bigint, integer, json, jsonb, nullable, text, timestamptz, uuid } from "../database/sqlTypes.ts";
import type { AuditStore } from "./storeTypes.ts";

const insertEvents = statement({
  name: "insert-audit-events",
  sql: `INSERT INTO audit_events (occurred_at, event, actor_id, actor_name, subject_id, subject_name, address, request_id, details)
    SELECT occurred_at, event, actor_id, coalesce(actor_name, actor.username, client.name), subject_id, subject.username,
      address, request_id, details
    FROM json_populate_recordset(NULL::audit_events, :rows) WITH ORDINALITY
    LEFT JOIN users AS actor ON actor.id = CASE WHEN actor_id ~ '^[0-9a-f-]{36}$' THEN actor_id::uuid END
    LEFT JOIN clients AS client ON client.id = actor_id
    LEFT JOIN users AS subject ON subject.id = subject_id::uuid
    ORDER BY ordinality`,
  parameters: { rows: json<string>() },
});

/** Planned for its values: the filters that are NULL must not keep an index from being used. */
const findEvents = statement({
  name: "find-audit-events",
  replan: true,
  sql: `SELECT id, occurred_at AS "occurredAt", event, actor_id AS "actorId", actor_name AS "actorName",
      subject_id AS "subjectId", subject_name AS "subjectName", address, request_id AS "requestId", details
    FROM audit_events
    WHERE (:subjectId IS NULL OR subject_id = :subjectId) AND (:actorId IS NULL OR actor_id = :actorId)
      AND (:event IS NULL OR event = :event) AND (:requestId IS NULL OR request_id = :requestId)
      AND (:before IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit`,
  parameters: {
    subjectId: nullable(text),
    actorId: nullable(text),
    event: nullable(text),
    requestId: nullable(uuid),
    before: nullable(bigint),
    limit: integer,
  },
  columns: {
    id: bigint,
    occurredAt: timestamptz,
    event: text,
    actorId: nullable(text),
    actorName: nullable(text),
    subjectId: nullable(text),
    subjectName: nullable(text),
    address: nullable(text),
    requestId: nullable(uuid),
    details: jsonb<Record<string, string>>(),
  },
});

export const auditStore = (database: Database): AuditStore => ({
  async insertAll(rows) {
    await database.write((knex) => insertEvents.count(knex, { rows: JSON.stringify(rows) }));
  },
  list: (filter, limit, before) => database.read((knex) => findEvents.rows(knex, { ...filter, limit, before })),
});
