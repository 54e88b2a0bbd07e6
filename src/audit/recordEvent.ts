/** The SQL that stores the audit event of a change, in the statement that makes the change. */
import { json } from "../database/sqlTypes.ts";
import type { AuditEvent } from "./audit.ts";
import type { AuditContext } from "./auditRow.ts";

/** The type of the parameter `:audit`, whose value is `auditContext()`. */
export const auditParameter = json<AuditContext>();

type RecordOptions = {
  event: AuditEvent;
  /** The table or CTE with one row for each event. */
  from: string;
  /** SQL of the id of the user whom the event is about, as a uuid. */
  subject?: string;
  /** SQL of the user's name. By default, it is looked up: it must be that of a row that exists before the statement. */
  subjectName?: string;
  /** SQL of a jsonb object of strings. */
  details?: string;
};

/** SQL that stores one event for each row of `from`, as a CTE of the statement, which has the parameter `:audit`. */
export const recordEvent = ({ event, from, subject = "id", subjectName, details = "'{}'" }: RecordOptions): string =>
  `INSERT INTO audit_events (event, actor_id, actor_name, subject_id, subject_name, address, request_id, details)
    SELECT '${event}', context.actor_id, context.actor_name, subject.id, ${subjectName ?? "(SELECT username FROM users WHERE users.id = subject.id)"},
      context.address, context.request_id, ${details}
    FROM ${from}, LATERAL (SELECT ${subject} AS id) AS subject, json_populate_record(NULL::audit_events, :audit) AS context`;
