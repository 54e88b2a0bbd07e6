/** The command line of the fuzzer. */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { promises } from "./promises/index.ts";

export type Arguments = {
  seed: number;
  path: string | undefined;
  requests: number;
  url: string | undefined;
  contract: string;
  /** The promises to be checked; absent for those that are usual. */
  promises: string[] | undefined;
};

/** The command line is not understood: exit status 64 (sysexits.h). */
export class UsageError extends Error {}

export const usage = `Usage: npm run fuzz -- [options]

Checks the promises of the service, then sends random requests that are made of the contract, and
stops at the first answer that is wrong. Without --url it starts a service and a Postgres of its own.

  --requests N     begin no more runs after so many requests (100000)
  --seed N         where the random requests begin (random)
  --path P         play one failed run of that seed again
  --promise NAME   check this promise and send no random requests; may be given more than once
  --url URL        a service that runs already; what it has stored is not looked at
  --contract FILE  the contract (openapi.yaml)
  --help           this text

The promises: ${Object.keys(promises).join(", ")}.

Exit status: 0 where nothing is wrong, 1 where something is, 64 where the command line is not understood.
`;

/**
 * Reads the command line.
 * @returns `undefined` where the usage is asked for
 * @throws {UsageError}
 */
export function readArguments(args: string[]): Arguments | undefined {
  const given = parsed(args);
  if (given.help) return undefined;
  const whole = (name: "seed" | "requests", least: number, fallback: number) => {
    const text = given[name];
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value < 2 ** 31) return value;
    throw new UsageError(`--${name} is a whole number from ${least} to ${2 ** 31 - 1}, not ${text}.`);
  };
  const { path, url, contract = "openapi.yaml", promise } = given;
  if (path !== undefined && !/^\d+(:\d+)*$/.test(path))
    throw new UsageError(`--path is numbers with colons between them, not ${path}.`);
  if (path !== undefined && given.seed === undefined)
    throw new UsageError("--path needs the --seed that it belongs to.");
  if (url !== undefined && !/^http:\/\/[^/]+\/?$/.test(url))
    throw new UsageError(`--url is such as http://127.0.0.1:8080, not ${url}.`);
  const unknown = promise?.find((name) => !Object.hasOwn(promises, name));
  if (unknown !== undefined) throw new UsageError(`There is no promise ${unknown}. --help lists them.`);
  return {
    seed: whole("seed", 0, randomInt(2 ** 31 - 1)),
    requests: promise ? 0 : whole("requests", 1, 100_000),
    path,
    url: url?.replace(/\/$/, ""),
    contract,
    promises: promise,
  };
}

function parsed(args: string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args,
      options: {
        seed: text,
        path: text,
        requests: text,
        url: text,
        contract: text,
        promise: { type: "string", multiple: true },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split(". ")[0]?.replace(/\.?$/, "."));
  }
}
