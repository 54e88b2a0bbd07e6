/** The SQL that stores the audit event of a change, in the statement that makes the change. */
import { json } from "../database/sqlTypes.ts";
import type { AuditEvent } from "./audit.ts";
import type { AuditContext } from "./auditRow.ts";

/** The type of the parameter `:audit`, whose value is `auditContext()`. */
export const auditParameter = json<AuditContext>();

type RecordOptions = {
  event: AuditEvent;
  /** The table or CTE with one row for each event. If absent, there is one event. */
  from?: string;
  /** SQL of the id of the user whom the event is about, as a uuid. By default, it is that of `from`. */
  subject?: string;
  /** SQL of the user's name. By default, it is that of the user before the statement. */
  subjectName?: string;
  /** SQL of a jsonb object of strings. */
  details?: string;
};

/** SQL that stores the event, as a CTE of the statement that makes the change, which has the parameter `:audit`. */
export function recordEvent(options: RecordOptions): string {
  const { event, from, subject = `${from}.id`, subjectName, details = "'{}'" } = options;
  const name = subjectName ?? "(SELECT username FROM users WHERE users.id = subject.id)";
  return `INSERT INTO audit_events (event, actor_id, actor_name, subject_id, subject_name, address, request_id, details)
    SELECT '${event}', context.actor_id,
      coalesce(context.actor_name, (SELECT clients.name FROM clients WHERE clients.id = context.actor_id)), subject.id, ${name}, context.address, context.request_id,
      coalesce(context.details, '{}') || ${details}
    FROM ${from === undefined ? "" : `${from}, `}json_populate_record(NULL::audit_events, :audit) AS context,
      LATERAL (SELECT ${subject} AS id) AS subject`;
}
