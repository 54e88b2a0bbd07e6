/** Stores audit events in the database, besides the log. */
import { auditStore } from "../audit/store.ts";
import type { AuditStore } from "../audit/storeTypes.ts";
import { startAuditWriter } from "../audit/writer.ts";
import { outsideRequests } from "../database/database.ts";
import { unlessOutage } from "../database/errors.ts";
import type { StartContext } from "./context.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

type EarlierStages = { observability: Observability; storage: Storage };

export function openAudit(
  { log, lifecycle }: StartContext,
  { observability, storage }: EarlierStages,
): Pick<AuditStore, "list"> {
  const writer = startAuditWriter({
    store: auditStore(outsideRequests(storage.database)),
    clock: storage.clock,
    onError: unlessOutage((err) => log.warn({ err }, "could not store audit events")),
  });
  observability.auditWriter.current = writer;
  lifecycle.add("background", "audit events", writer.close);
  return auditStore(storage.database);
}
