#!/usr/bin/env node
/** The command line. */
import "./noInspector.ts"; // first
import "./newSpace.ts"; // before what is large

import cluster from "node:cluster";
import { isatty } from "node:tty";
import { inspect } from "node:util";
import type { Logger } from "pino";
import {
  type Command,
  InputError,
  plain,
  type Run,
  type Surroundings,
  say,
  UsageError,
  unknownCommand,
} from "./cli/command.ts";
import { help } from "./cli/help.ts";
import { keys } from "./cli/keys.ts";
import { migrate } from "./cli/migrate.ts";
import { restore } from "./cli/restore.ts";
import { sessions } from "./cli/sessions.ts";
import { users } from "./cli/users.ts";
import { type Config, ConfigError, readConfig, StartError } from "./config.ts";
import { ContractError } from "./contract/contract.ts";
import { Problem, problems } from "./contract/problems.ts";
import { EmbeddedPostgresError } from "./database/embedded.ts";
import { exitOnUnhandledErrors } from "./lastResort.ts";
import { letNewSpaceGrow } from "./newSpace.ts";
import { createLog, printFatal } from "./operations/log.ts";
import { type Service, startService, version } from "./service.ts";
import { SecretKeyError } from "./tokens/secretKey.ts";
import { SealedKeysError } from "./tokens/signingKeys.ts";
import { membership, reportRefusal, reportToPrimary, startWorkers, WorkerError } from "./workers.ts";

// sysexits.h: what a supervisor can tell apart.
const exit = { usage: 64, input: 65, unavailable: 69, software: 70, config: 78 };

const commands: Record<string, Command> = {
  serve: plain(serve),
  migrate: plain(migrate),
  keys,
  sessions,
  users,
  restore,
  // As the primary starts it; not for people.
  worker: (args) => {
    if (!cluster.isWorker || args.length !== 1) throw unknownCommand(["worker", ...args]);
    return work(args);
  },
};
/** The log of these is what they are for. What the others print is for a person or a program; their log is not. */
const logged = ["serve", "migrate", "worker"];

try {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    say(help());
  } else if (args.includes("--version") || args.includes("-v")) {
    say(version());
  } else {
    const [name = "serve", ...rest] = args[0]?.startsWith("-") ? ["serve", ...args] : args;
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (!command) throw unknownCommand(args);
    const run = command(rest);
    const config = readConfig(process.env);
    const { log, print, dropped } = await createLog(config.logLevel, logged.includes(name) ? 1 : 2);
    await run(config, log, { lastResort: exitOnUnhandledErrors(log, exit.software), print, dropped });
  }
} catch (error) {
  const { message, status } = endingOf(error);
  process.exitCode = status;
  if (cluster.isWorker) reportRefusal(message);
  else printFatal(message);
  cluster.worker?.disconnect(); // or the primary would hold the process
}

async function serve(config: Config, log: Logger, { lastResort, print, dropped }: Surroundings): Promise<void> {
  const service = await (config.workers > 1
    ? startWorkers(config, log, dropped)
    : startService(config, log, { droppedLogLines: dropped }));
  letNewSpaceGrow();
  const stop = stopper(service, config, log);
  lastResort.stopBy(stop, log);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => void stop(signal));
  const docs = config.documentation ? `${service.url}/docs` : undefined;
  log.info({ url: service.url, docs }, "listening");
  if (isatty(1)) print(greeting(service.url, docs));
  void service.failed.then((reason) => {
    process.exitCode = exit.unavailable;
    return stop(reason);
  });
}

/** Serves as one of `WORKERS`. A signal to the whole group is for the primary, which says the rest. */
function work(args: string[]): Run {
  return async (config, log, { lastResort, dropped }) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => {});
    const worker = await membership(config, args);
    const ownLog = log.child({ worker: worker.number });
    const service = await startService(config, ownLog, { worker, droppedLogLines: dropped });
    letNewSpaceGrow();
    const stop = stopper(service, config, ownLog);
    lastResort.stopBy(stop, ownLog);
    reportToPrimary(service.url, (reason) => void stop(reason), service.readMetrics);
  };
}

/**
 * @returns what stops the service, and with it the process; called again, it skips the grace period.
 * Its promise is fulfilled when the service has stopped, cleanly or not.
 */
function stopper(service: Service, config: Config, log: Logger): (reason: string) => Promise<void> {
  const hurry = new AbortController();
  let stopped: Promise<void> | undefined;
  const stop = async (reason: string): Promise<void> => {
    log.info({ reason }, "stopping");
    try {
      try {
        await service.drain(hurry.signal);
      } finally {
        await service.close();
      }
      log.info("stopped");
    } catch (error) {
      log.error({ err: error }, "could not stop cleanly");
      process.exitCode = exit.software;
    } finally {
      // What the SDK still tries to deliver, to a collector that does not answer, would hold the process.
      if (config.otelExporterOtlpEndpoint) process.exit();
      cluster.worker?.disconnect(); // so would the primary
    }
  };
  return (reason) => {
    // A second signal skips the grace period, and so does a person at a terminal.
    if (stopped || reason !== "SIGTERM") hurry.abort();
    stopped ??= stop(reason);
    return stopped;
  };
}

/** What a command needs does not answer, or not in time. */
function unavailable({ slug, cause }: Problem): string {
  const { title } = problems[slug];
  return `${title}${cause instanceof Error ? ` (${cause.message})` : ""}. Try again.`;
}

/** What is said when the program ends by an error, and its exit status. */
function endingOf(error: unknown): { message: string; status: number } {
  const status = statusOf(error);
  if (status === undefined) return { message: inspect(error), status: exit.software };
  const message = error instanceof Problem ? unavailable(error) : (error as Error).message;
  return { message: cluster.isWorker ? message : `latchkey: ${message}`, status };
}

/** @returns `undefined` for a fault of this program */
function statusOf(error: unknown): number | undefined {
  // A secret key that does not fit is a wrong setting, too.
  if (error instanceof ConfigError || error instanceof SealedKeysError || error instanceof SecretKeyError)
    return exit.config;
  if (error instanceof StartError || error instanceof EmbeddedPostgresError) return exit.unavailable;
  if (error instanceof WorkerError) return error.status || exit.software;
  if (error instanceof UsageError) return exit.usage;
  if (error instanceof InputError) return exit.input;
  if (error instanceof ContractError) return exit.software;
  return error instanceof Problem && error.status === 503 ? exit.unavailable : undefined;
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
