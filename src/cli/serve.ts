/** `latchkey serve`: starts the service, in this process or in several, and serves until it is stopped. */
import { isatty } from "node:tty";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { exitStatus } from "../errors.ts";
import { letHeapGrow } from "../process/newSpace.ts";
import { createShutdown, type Service, stopOnSignals, stopWithNpm } from "../process/shutdown.ts";
import type { ProgramContext, Run } from "./arguments.ts";
import { load } from "./loading.ts";
import { loadDictionaries, unlessStopped } from "./starting.ts";

export const serve = (): Run => async (config, log, program) => {
  const shutdown = createShutdown({
    graceSeconds: config.shutdownGraceSeconds,
    hasEmbeddedPostgres: config.databaseUrl === undefined,
    failureStatus: exitStatus.software,
    log,
  });
  program.uncaughtErrors.stopWith(shutdown.stop, log);
  stopOnSignals(shutdown, log);
  if (program.isNpmScript) stopWithNpm(shutdown);

  const { lifecycle } = shutdown;
  const droppedLogLines = program.dropped;
  const service: Service | undefined = await unlessStopped(shutdown, async () => {
    if (config.workers > 1) {
      const { startWorkers } = await load(() => import("../process/workers.ts"));
      return startWorkers({ config, log, droppedLogLines, lifecycle });
    }
    const { startService } = await load(() => import("../start.ts"));
    return startService(config, log, { droppedLogLines, lifecycle });
  });
  if (!service) return;

  shutdown.serviceStarted(service);
  announce(service, { config, log, program });
  letHeapGrow();
  if (config.workers === 1) loadDictionaries(config);
  void service.failed.then((reason) => {
    process.exitCode = exitStatus.unavailable;
    return shutdown.stop(reason);
  });
};

type ServeContext = { config: Config; log: Logger; program: ProgramContext };

function announce({ url }: Service, { config, log, program }: ServeContext): void {
  const docs = config.documentation ? `${url}/docs` : undefined;
  log.info({ url, docs }, "listening");
  if (isatty(1)) program.print(greeting(url, docs));
}

function greeting(url: string, docs = "not served (DOCUMENTATION=off)"): string {
  return `
  Latchkey is listening.

    API      ${url}/api
    Docs     ${docs}
    Try it   curl -i -X POST -H 'Content-Type: application/json' \\
               -d '{"username":"miguel","password":"correct horse battery"}' ${url}/api/users

`;
}
