#!/usr/bin/env node
/** The command line. */
import "./newSpace.ts"; // first

import cluster from "node:cluster";
import { isatty } from "node:tty";
import { inspect, parseArgs } from "node:util";
import type { Logger } from "pino";
import { type Config, ConfigError, describeSettings, readConfig, StartError } from "./config.ts";
import { ContractError } from "./contract/contract.ts";
import { EmbeddedPostgresError } from "./database/embedded.ts";
import { migrateOnly, withKeys } from "./maintenance.ts";
import { letNewSpaceGrow } from "./newSpace.ts";
import { createLog, type Log, printFatal } from "./operations/log.ts";
import { type Service, startService, version } from "./service.ts";
import { SecretKeyError } from "./tokens/secretKey.ts";
import { SealedKeysError } from "./tokens/signingKeys.ts";
import { membership, reportToPrimary, startWorkers, WorkerError } from "./workers.ts";

// sysexits.h: what a supervisor can tell apart.
const exit = { usage: 64, unavailable: 69, software: 70, config: 78 };

type Command = { run(config: Config, log: Log, args: string[]): Promise<void>; isUsage(args: string[]): boolean };

const commands: Record<string, Command> = {
  serve: { run: serve, isUsage: (args) => args.length === 0 },
  migrate: { run: migrate, isUsage: (args) => args.length === 0 },
  keys: {
    run: keys,
    isUsage: ([verb = "", ...rest]) => ({ list: 0, rotate: 0, revoke: 1 })[verb] === rest.length,
  },
  // As the primary starts it; not for people.
  worker: { run: work, isUsage: (args) => cluster.isWorker && args.length === 1 },
};

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" }, version: { type: "boolean", short: "v" } },
  });
  const [name = "serve", ...rest] = positionals;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (values.help) {
    process.stdout.write(help());
  } else if (values.version) {
    process.stdout.write(`${version()}\n`);
  } else if (!command?.isUsage(rest)) {
    refuse(`There is no command "${positionals.join(" ")}". See latchkey --help.`, exit.usage);
  } else {
    const config = readConfig(process.env);
    // What `keys` prints is for programs; its log is not.
    const log = await createLog(config.logLevel, name === "keys" ? 2 : 1);
    await command.run(config, log, rest);
  }
} catch (error) {
  // A secret key that does not fit is a wrong setting, too.
  if (error instanceof ConfigError || error instanceof SealedKeysError || error instanceof SecretKeyError)
    refuse(error.message, exit.config);
  else if (error instanceof StartError || error instanceof EmbeddedPostgresError)
    refuse(error.message, exit.unavailable);
  else if (error instanceof WorkerError && error.status) process.exitCode = error.status;
  else if (error instanceof WorkerError) refuse(error.message, exit.software);
  else if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) {
    refuse(`${error.message.split(". ")[0]}. See latchkey --help.`, exit.usage);
  } else if (error instanceof ContractError) refuse(error.message, exit.software);
  else {
    printFatal(inspect(error));
    process.exitCode = exit.software;
  }
  cluster.worker?.disconnect(); // or the primary would hold the process
}

async function serve(config: Config, { log, print, dropped }: Log): Promise<void> {
  const service = await (config.workers > 1
    ? startWorkers(config, log, dropped)
    : startService(config, log, { droppedLogLines: dropped }));
  letNewSpaceGrow();
  const stop = stopper(service, config, log);
  process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", stop);
  const docs = config.documentation ? `${service.url}/docs` : undefined;
  log.info({ url: service.url, docs }, "listening");
  if (isatty(1)) print(greeting(service.url, docs));
  void service.failed.then((reason) => {
    process.exitCode = exit.unavailable;
    stop(reason);
  });
}

/** Serves as one of `WORKERS`. A signal to the whole group is for the primary, which says the rest. */
async function work(config: Config, { log, dropped }: Log, args: string[]): Promise<void> {
  process
    .on("SIGTERM", () => {})
    .on("SIGINT", () => {})
    .on("SIGHUP", () => {});
  const worker = await membership(config, args);
  const ownLog = log.child({ worker: worker.number });
  const service = await startService(config, ownLog, { worker, droppedLogLines: dropped });
  letNewSpaceGrow();
  reportToPrimary(service.url, stopper(service, config, ownLog), service.readMetrics);
}

/** @returns what stops the service, and with it the process; called again, in a hurry */
function stopper(service: Service, config: Config, log: Logger): (reason: string) => void {
  const hurry = new AbortController();
  let stopping = false;
  const finish = async () => {
    try {
      await service.drain(hurry.signal);
    } finally {
      await service.close();
    }
  };
  return (reason) => {
    // Who asks twice does not want to wait, nor does a person at a terminal.
    if (stopping || reason !== "SIGTERM") hurry.abort();
    if (stopping) return;
    stopping = true;
    log.info({ reason }, "stopping");
    finish()
      .then(
        () => log.info("stopped"),
        (error: unknown) => {
          log.error({ err: error }, "could not stop cleanly");
          process.exitCode = exit.software;
        },
      )
      .finally(() => {
        // What the SDK still tries to deliver, to a collector that does not answer, would hold the process.
        if (config.otelExporterOtlpEndpoint) process.exit();
        cluster.worker?.disconnect(); // so would the primary
      });
  };
}

async function migrate(config: Config, { log }: Log): Promise<void> {
  const applied = await migrateOnly(config, log);
  log.info(applied.length > 0 ? "the schema is up to date now" : "the schema was up to date");
}

async function keys(config: Config, { log }: Log, [verb, kid = ""]: string[]): Promise<void> {
  await withKeys(config, log, async (tools) => {
    if (verb === "rotate") process.stdout.write(`${await tools.rotate()}\n`);
    if (verb === "revoke" && !(await tools.revoke(kid))) throw new StartError(`There is no key ${kid} to revoke.`);
    if (verb === "list") {
      for (const { kid, activatesAt, revokedAt } of await tools.list()) {
        const state = revokedAt ? `revoked ${revokedAt.toISOString()}` : `signs from ${activatesAt.toISOString()}`;
        process.stdout.write(`${kid}  ${state}\n`);
      }
    }
  });
}

function refuse(message: string, status: number): void {
  printFatal(`latchkey: ${message}`);
  process.exitCode = status;
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

function help(): string {
  const settings = describeSettings().map(
    ({ name, fallback, help, allowed }) =>
      `  ${name}${fallback && `=${fallback}`}\n      ${help}\n      Allowed: ${allowed}.\n`,
  );
  return `Usage: latchkey [serve | migrate | keys list | keys rotate | keys revoke KID] [--help] [--version]

  serve             brings the database schema up to date, then serves (the default)
  migrate           brings the database schema up to date
  keys list         the signing keys, the newest first
  keys rotate       adds a signing key; it is published now and signs in six minutes
  keys revoke KID   ends a stolen key and all its tokens, at once

Settings, from the environment:

${settings.join("")}
Exit status: 0 stopped as asked, 64 wrong usage, 69 something needed is not available,
70 a fault of Latchkey, 78 wrong settings.
`;
}
