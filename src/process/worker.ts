/** A worker: one of several processes that serve the same port. This is its side of the channel to the primary. */
import type { Config } from "../config/config.ts";
import { findPostgres, type Postgres } from "../database/openPostgres.ts";
import { StartError } from "../errors.ts";
import type { MetricsSnapshot } from "../observability/metrics.ts";
import { sendHeartbeats } from "./heartbeat.ts";
import type { Service, Shutdown } from "./shutdown.ts";
import { type PrimaryMessage, sendToPrimary } from "./workerMessages.ts";

/** Which worker a process is, and the Postgres that its primary has opened. */
export type WorkerRole = { number: number; postgres: Postgres };

/**
 * Sends heartbeats from now on.
 * @param number of this worker
 * @throws {StartError} if the primary's embedded Postgres does not run any more
 */
export async function joinPrimary(config: Config, number: number): Promise<WorkerRole> {
  sendHeartbeats();
  const postgres = await findPostgres(config);
  if (!postgres) throw new StartError("The embedded Postgres of the primary does not run.");
  return { number, postgres };
}

/** Reports that the service runs, and handles the messages of the primary from now on. */
export function serveForPrimary(
  { url, readMetrics }: Pick<Service, "url"> & { readMetrics?: () => Promise<MetricsSnapshot> },
  { stop, reload }: Pick<Shutdown, "stop" | "reload">,
): void {
  process.on("message", (message: PrimaryMessage) => {
    if (message === "metrics") void readMetrics?.().then((metrics) => sendToPrimary({ metrics }));
    else if (message === "SIGHUP") reload();
    else void stop(message);
  });
  sendToPrimary({ url });
}
