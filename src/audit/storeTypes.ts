/** The types of the audit store. */
import type { AuditRow } from "./auditRow.ts";

/** A stored event. */
export type StoredEvent = {
  id: string;
  occurredAt: Date;
  event: string;
  actorId: string | null;
  actorName: string | null;
  subjectId: string | null;
  subjectName: string | null;
  address: string | null;
  requestId: string | null;
  details: Record<string, string>;
};

/** Which events to list. A member that is null does not restrict them. */
export type EventFilter = {
  subjectId: string | null;
  actorId: string | null;
  event: string | null;
  requestId: string | null;
};

export type AuditStore = {
  insertAll(rows: readonly AuditRow[]): Promise<void>;
  /**
   * @param before the id of the last event of the previous page
   * @returns the newest first
   */
  list(filter: EventFilter, limit: number, before: string | null): Promise<StoredEvent[]>;
};
