/** `latchkey users set-password`: a way in for somebody whose password is lost, stolen or disabled. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { StartError } from "../config.ts";
import { Problem } from "../contract/problems.ts";
import { passwordHasher } from "../passwords/hashing.ts";
import { passwordPolicy } from "../passwords/policy.ts";
import { noThrottle } from "../throttling/throttling.ts";
import { userStore } from "../users/store.ts";
import { createUsers } from "../users/users.ts";
import { type Command, InputError, readArguments, say, unknownCommand } from "./command.ts";
import { withDatabase } from "./database.ts";

export const users: Command = (args) => {
  const [verb, name, ...rest] = readArguments(args, {}).positionals;
  if (verb !== "set-password" || name === undefined || rest.length > 0) throw unknownCommand(["users", ...args]);
  return (config, log) =>
    withDatabase(config, log, async ({ database, audit }) => {
      const warn = (message: string) => log.warn(message);
      const cost = { memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes };
      const policy = passwordPolicy(config);
      const enforce = () => {}; // the instances follow
      const all = createUsers(userStore(database), passwordHasher(cost, warn), policy, noThrottle, enforce, audit);
      const isThere = await all.setPassword(name, await readPassword()).catch(explain);
      if (!isThere) throw new StartError(`There is no user ${JSON.stringify(name)}.`);
      say("The password is set. Every session and every token of the user has ended.");
    });
};

/** All of standard input, without the end of its line; from a terminal a line, which is not shown. */
async function readPassword(): Promise<string> {
  if (process.stdin.isTTY) {
    process.stderr.write("New password: ");
    const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
    const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
    const line = await lines.question("");
    lines.close();
    process.stderr.write("\n");
    return line;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await buffer(process.stdin)).replace(/\r?\n$/, "");
  } catch {
    throw new InputError("The password on standard input is not UTF-8.");
  }
}

function explain(error: unknown): never {
  if (!(error instanceof Problem) || error.status >= 500) throw error;
  const { detail, errors } = error.body("");
  throw new InputError(detail ?? `The password ${errors?.[0]?.detail ?? "is refused"}.`);
}
