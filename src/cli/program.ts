/** The command line: which command runs, and with which status the process exits. */
import cluster from "node:cluster";
import { isatty } from "node:tty";
import { inspect } from "node:util";
import type { Logger } from "pino";
import { type Config, ConfigError, misspeltSettings, readConfig, StartError } from "../config/config.ts";
import { EmbeddedPostgresError } from "../database/embedded/postgres.ts";
import type { Lifecycle } from "../lib/lifecycle.ts";
import { version } from "../lib/package.ts";
import { createLog, printFatal } from "../observability/log.ts";
import { ContractError } from "../openapi/contract.ts";
import { loadDictionaries } from "../passwords/weaknessCheck.ts";
import { Problem, problems } from "../problems/problems.ts";
import { createShutdown, stopOnSignals, stopWithNpm } from "../process/shutdown.ts";
import { exitOnUnhandledErrors } from "../process/uncaughtErrors.ts";
import { joinPrimary, reportRefusal, reportToPrimary, startWorkers, WorkerError } from "../process/workers.ts";
import { letNewSpaceGrow } from "../process/youngGeneration.ts";
import { startService } from "../start.ts";
import { SecretKeyError } from "../tokens/secretKey.ts";
import { SealedKeysError } from "../tokens/signingKeys.ts";
import {
  type Command,
  InputError,
  plain,
  type Run,
  type Surroundings,
  say,
  UsageError,
  unknownCommand,
} from "./command.ts";
import { help } from "./help.ts";
import { keys } from "./keys.ts";
import { migrate } from "./migrate.ts";
import { restore } from "./restore.ts";
import { sessions } from "./sessions.ts";
import { users } from "./users.ts";

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
/** A worker has the environment of its primary. */
const warned = ["serve", "migrate"];

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
    if (warned.includes(name)) for (const sentence of misspeltSettings(process.env)) log.warn(sentence);
    await run(config, log, { lastResort: exitOnUnhandledErrors(log, exit.software), print, dropped });
  }
} catch (error) {
  const { message, status } = endingOf(error);
  process.exitCode = status;
  if (cluster.isWorker) reportRefusal(message);
  else printFatal(message);
  cluster.worker?.disconnect(); // or the primary would hold the process
  endSoon();
}

async function serve(config: Config, log: Logger, { lastResort, print, dropped }: Surroundings): Promise<void> {
  const { shutdownGraceSeconds: graceSeconds, databaseUrl } = config;
  const hasEmbeddedPostgres = databaseUrl === undefined;
  const shutdown = createShutdown({ graceSeconds, hasEmbeddedPostgres, failureStatus: exit.software, log });
  lastResort.stopBy(shutdown.stop, log);
  stopOnSignals(shutdown, log);
  if (process.env["npm_lifecycle_event"] !== undefined) stopWithNpm(shutdown);
  if (config.workers === 1) loadDictionariesEarly(config);
  const service = await unlessCancelled(shutdown.lifecycle, () =>
    config.workers > 1
      ? startWorkers(config, log, dropped, shutdown.lifecycle)
      : startService(config, log, { droppedLogLines: dropped, lifecycle: shutdown.lifecycle }),
  );
  if (!service) return;
  letNewSpaceGrow();
  shutdown.serviceStarted(service);
  const docs = config.documentation ? `${service.url}/docs` : undefined;
  log.info({ url: service.url, docs }, "listening");
  if (isatty(1)) print(greeting(service.url, docs));
  void service.failed.then((reason) => {
    process.exitCode = exit.unavailable;
    return shutdown.stop(reason);
  });
}

/** Serves as one of `WORKERS`. A signal to the whole group is for the primary, which says the rest. */
function work(args: string[]): Run {
  return async (config, log, { lastResort, dropped }) => {
    const worker = await joinPrimary(config, args);
    const ownLog = log.child({ worker: worker.number });
    const { shutdownGraceSeconds: graceSeconds } = config;
    const failureStatus = exit.software;
    const shutdown = createShutdown({ graceSeconds, hasEmbeddedPostgres: false, failureStatus, log: ownLog });
    lastResort.stopBy(shutdown.stop, ownLog);
    const start = { worker, droppedLogLines: dropped, lifecycle: shutdown.lifecycle };
    loadDictionariesEarly(config);
    const service = await unlessCancelled(shutdown.lifecycle, () => startService(config, ownLog, start));
    if (!service) return;
    letNewSpaceGrow();
    shutdown.serviceStarted(service);
    const act = (signal: NodeJS.Signals) => (signal === "SIGHUP" ? shutdown.reload() : void shutdown.stop(signal));
    reportToPrimary(service.url, act, service.readMetrics);
  };
}

/** The first new passwords need not wait for them, as on an instance that was just restarted. */
function loadDictionariesEarly({ passwordBlocklist }: Config): void {
  if (passwordBlocklist) loadDictionaries().catch(() => {}); // they are loaded again when they are needed
}

/** @returns what has started; `undefined` once it was cancelled, whatever the start makes of that */
async function unlessCancelled<T>({ closing }: Lifecycle, start: () => Promise<T>): Promise<T | undefined> {
  try {
    const started = await start();
    return closing.aborted ? undefined : started;
  } catch (error) {
    if (closing.aborted) return undefined;
    throw error;
  }
}

/** What a command needs does not answer, or not in time. */
function unavailable({ slug, cause }: Problem): string {
  const { title } = problems[slug];
  return `${title}${cause instanceof Error ? ` (${cause.message})` : ""}. Try again.`;
}

/** A dead connection must not keep the process alive. Flushing the log takes up to a second. */
function endSoon(): void {
  setTimeout(() => process.exit(), 1_500).unref();
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
