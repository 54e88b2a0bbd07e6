/** The command line of the fuzzer. */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { promises } from "./promises/index.ts";

export type Arguments = {
  seed: number;
  path: string | undefined;
  requests: number;
  url: string | undefined;
  /** The username and password of an administrator of the service at `url`. */
  admin: [username: string, password: string] | undefined;
  contract: string;
  /** The promises to check. Absent: all of them. */
  promises: string[] | undefined;
};

/** The command line is invalid: exit status 64 (EX_USAGE of sysexits.h). */
export class UsageError extends Error {}

export const usage = `Usage: npm run fuzz -- [options]

Tests a service against its OpenAPI contract. First checks promises that the contract cannot
express, for example that a forged token is rejected. Then sends random sequences of valid, almost
valid and hostile requests, and stops at the first wrong response. Without --url it starts a service
and a PostgreSQL server, checks the stored rows as well, and takes the database away at the end.

Options:
  --requests N     number of random requests (default 100000)
  --seed N         seed of the random requests (default: random)
  --path P         repeat the failure that was reported with --seed N --path P
  --promise NAME   check this promise and send no random requests; may be repeated
  --url URL        test a running service, started with THROTTLE=off; its rows are not checked
  --admin U:P      with --url: username and password of an administrator; without one, what needs an
                   administrator is not reached
  --contract FILE  the contract (default openapi.yaml)
  --help           print this text

Promises:
${Object.keys(promises)
  .map((name) => `  ${name}\n`)
  .join("")}
Exit status: 0 if nothing is wrong, 1 if something is wrong, 64 if the command line is invalid.

Examples:
  npm run fuzz
  npm run fuzz -- --requests 5000 --seed 42
  npm run fuzz -- --promise tokens-cannot-be-forged
  npm run fuzz -- --url http://127.0.0.1:8080 --admin alice:PASSWORD
`;

/**
 * Parses the command line.
 * @returns `undefined` for --help
 * @throws {UsageError}
 */
export function readArguments(args: string[]): Arguments | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const { path, url, contract = "openapi.yaml", promise } = values;
  if (path !== undefined && !/^\d+(:\d+)*$/.test(path))
    throw new UsageError(`--path must be numbers separated by colons, not ${path}.`);
  if (path !== undefined && values.seed === undefined) throw new UsageError("--path requires --seed.");
  if (url !== undefined && !/^http:\/\/[^/]+\/?$/.test(url))
    throw new UsageError(`--url must be an origin such as http://127.0.0.1:8080, not ${url}.`);
  const unknown = promise?.find((name) => !Object.hasOwn(promises, name));
  if (unknown !== undefined) throw new UsageError(`Unknown promise ${unknown}.`);
  return {
    seed: wholeNumber("seed", values.seed, 0) ?? randomInt(2 ** 31 - 1),
    requests: promise ? 0 : (wholeNumber("requests", values.requests, 1) ?? 100_000),
    path,
    admin: administratorOf(values.admin, url),
    url: url?.replace(/\/$/, ""),
    contract,
    promises: promise,
  };
}

function administratorOf(text: string | undefined, url: string | undefined): [string, string] | undefined {
  if (text === undefined) return undefined;
  if (url === undefined) throw new UsageError("--admin requires --url.");
  const [, username, password] = /^([^:]+):(.+)$/s.exec(text) ?? [];
  if (username === undefined || password === undefined)
    throw new UsageError("--admin must be a username and a password, separated by a colon.");
  return [username, password];
}

function wholeNumber(name: string, text: string | undefined, minimum: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= minimum && value < 2 ** 31) return value;
  throw new UsageError(`--${name} must be a whole number from ${minimum} to ${2 ** 31 - 1}, not ${text}.`);
}

function parse(args: string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args,
      options: {
        seed: text,
        path: text,
        requests: text,
        url: text,
        admin: text,
        contract: text,
        promise: { type: "string", multiple: true },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split(". ")[0]?.replace(/\.?$/, "."));
  }
}
