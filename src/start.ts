/** Starts the service in stages: observability, storage, audit events, keys, domain, HTTP. Each stage is a file in start/. */
import type { Logger } from "pino";
import type { Config } from "./config/config.ts";
import { checkAddresses } from "./http/addresses.ts";
import { readCertificate } from "./http/tls.ts";
import { createLifecycle } from "./lib/lifecycle.ts";
import { openAudit } from "./start/audit.ts";
import type { LocalService, StartContext, StartOptions } from "./start/context.ts";
import { openDomain } from "./start/domain.ts";
import { openContract, openHttp } from "./start/http.ts";
import { openKeys } from "./start/keys.ts";
import { openObservability } from "./start/observability.ts";
import { openStorage } from "./start/storage.ts";

/**
 * Starts the service. If the start fails, closes the parts that were opened.
 * @throws {FatalError} with a message for the operator
 */
export async function startService(config: Config, log: Logger, options: StartOptions = {}): Promise<LocalService> {
  const { worker, clockOffsetMs = () => 0, droppedLogLines = () => 0, lifecycle = createLifecycle() } = options;
  const context: StartContext = { config, log, worker, clockOffsetMs, droppedLogLines, lifecycle };
  try {
    lifecycle.closing.throwIfAborted();
    const certificate = await readCertificate(config);
    if (!worker) await checkAddresses(config); // before a database is created
    const observability = await openObservability(context);
    const compiling = openContract(config); // while Postgres starts and responds
    compiling.catch(() => {}); // reported below, if Postgres can be opened
    const storage = await openStorage(context, observability);
    const auditEvents = openAudit(context, { observability, storage });
    const keys = await openKeys(context, { observability, storage });
    const domain = await openDomain(context, { observability, storage, keys });
    const compiled = await compiling;
    const http = await openHttp(context, {
      certificate,
      compiled,
      observability,
      storage,
      auditEvents,
      keys,
      domain,
    });
    return {
      ...http,
      close: lifecycle.close,
      failed: storage.postgres.failed,
      hashingWork: domain.hasher.workDone,
      ...(observability.metrics && { readMetrics: observability.metrics.snapshot }),
    };
  } catch (error) {
    await lifecycle.close().catch(() => {}); // the start's error is more important
    throw error;
  }
}
