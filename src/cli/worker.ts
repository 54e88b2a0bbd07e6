/** `latchkey worker NUMBER`: serves as one of WORKERS. Only the primary starts workers, stops them, and handles signals. */
import cluster from "node:cluster";
import { exitStatus } from "../errors.ts";
import { letHeapGrow } from "../process/newSpace.ts";
import { createShutdown } from "../process/shutdown.ts";
import { joinPrimary, serveForPrimary } from "../process/worker.ts";
import { startService } from "../start.ts";
import { type ServiceCommand, wrongUsage } from "./arguments.ts";
import { loadDictionaries, unlessStopped } from "./starting.ts";

export const worker: ServiceCommand = ([number]) => {
  if (!cluster.isWorker) throw wrongUsage("", "Only the service runs workers: set WORKERS.");
  return async (config, log, { uncaughtErrors, dropped }) => {
    const role = await joinPrimary(config, Number(number));
    const ownLog = log.child({ worker: role.number });
    const shutdown = createShutdown({
      graceSeconds: config.shutdownGraceSeconds,
      hasEmbeddedPostgres: false,
      failureStatus: exitStatus.software,
      log: ownLog,
    });
    uncaughtErrors.stopWith(shutdown.stop, ownLog);
    const { lifecycle } = shutdown;
    const service = await unlessStopped(shutdown, () =>
      startService(config, ownLog, { worker: role, droppedLogLines: dropped, lifecycle }),
    );
    if (!service) return;
    shutdown.serviceStarted(service);
    serveForPrimary(service, shutdown);
    letHeapGrow();
    loadDictionaries(config);
  };
};
