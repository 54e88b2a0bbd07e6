/** What is stored about an event. */
import type { AnyTokenPrincipal, Principal } from "../principal.ts";
import { currentRequest } from "../requestContext.ts";
import { type AuditDetails, type AuditEvent, recordable } from "./audit.ts";

/** The actor of an event, and the source of the request. The members are columns of `audit_events`. */
export type AuditContext = {
  actor_id: string | null;
  actor_name: string | null;
  address: string | null;
  request_id: string | null;
  /** Members in snake_case. */
  details: Record<string, string>;
};

export type AuditRow = AuditContext & {
  occurred_at: string;
  event: AuditEvent;
  subject_id: string | null;
};

/** The name of the actor of a command. */
let commandActor: string | null = null;

/** From now on, events outside of requests are those of a person at the command line. @param name of the person */
export function actAsCommand(name: string): void {
  commandActor = name;
}

/** The context of an event that happens now: the request and its principal. */
export function auditContext(details: Omit<AuditDetails, "userId"> = {}): AuditContext {
  const request = currentRequest();
  const principal = request?.principal;
  return {
    ...(principal ? actorOf(principal) : { actor_id: null, actor_name: request ? null : commandActor }),
    address: request?.address ?? null,
    request_id: request?.id ?? null,
    details: Object.fromEntries(
      Object.entries(recordable(details)).map(([name, value]) => [snakeCase(name), String(value)]),
    ),
  };
}

/** The statements that store events add the name of a client. */
const actorOf = (principal: Principal | AnyTokenPrincipal) =>
  principal.proof === "client-token"
    ? { actor_id: principal.clientId, actor_name: null }
    : { actor_id: principal.userId, actor_name: principal.username };

/** Events about the caller, who becomes the principal of the request only after the authorization. */
const isOfCaller: ReadonlySet<AuditEvent> = new Set(["password-accepted", "scope-refused"]);

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** @param now the time of the database */
export function auditRow(event: AuditEvent, { userId, ...details }: AuditDetails, now: Date): AuditRow {
  const context = auditContext(details);
  return {
    ...context,
    actor_id: context.actor_id ?? (isOfCaller.has(event) ? (userId ?? details.clientId ?? null) : null),
    occurred_at: now.toISOString(),
    event,
    subject_id: userId ?? null,
  };
}
