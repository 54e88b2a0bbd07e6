/** `latchkey users`: sets the password of a user, or unlocks an account. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { InputError, StartError } from "../errors.ts";
import { passwordHasher } from "../passwords/hashing.ts";
import { passwordPolicy } from "../passwords/policy.ts";
import { Problem } from "../problems/problems.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import { policyEnforcer } from "../users/acceptance.ts";
import { operator } from "../users/administration/actor.ts";
import { createAdministration } from "../users/administration/administration.ts";
import { administrationStore } from "../users/administration/store.ts";
import { userStore } from "../users/store.ts";
import { canonicalUsername, nobody } from "../users/username.ts";
import { unlockAccount, usernameOf } from "./account.ts";
import { type Command, parseArguments, unknownCommand } from "./arguments.ts";
import { type Tools, withDatabase } from "./database.ts";
import { printLine } from "./output.ts";

export const users: Command = (args) => {
  const [verb = "", name, ...rest] = parseArguments(args, {}).positionals;
  const action = Object.hasOwn(actions, verb) ? actions[verb] : undefined;
  if (!action || name === undefined || rest.length > 0) throw unknownCommand(["users", ...args]);
  return (config, log) =>
    withDatabase(config, log, async (tools) => action(await usernameOf(tools.database, name), tools, { config, log }));
};

type Action = (name: string, tools: Tools, service: { config: Config; log: Logger }) => Promise<void>;

const actions: Record<string, Action> = {
  async "set-password"(name, { database, audit }, { config, log }) {
    const hasher = passwordHasher({ memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes }, (message) =>
      log.warn(message),
    );
    const administration = createAdministration({
      store: administrationStore(database),
      hasher,
      enforcePolicy: policyEnforcer(passwordPolicy(config)),
      enforce: () => {}, // the running instances read the revocation
      audit,
    });
    const user = await administration.find(name);
    if (!user) throw noUser(name);
    await administration.setPassword(user.id, await readPassword(), operator).catch(explain);
    await unlockAccount(database, (await readSecretKeys(config)).counting, name);
    printLine("The password is set. Every session and every token of the user has ended.");
  },

  async unlock(name, { database, audit }, { config }) {
    const account = await userStore(database).findAccount({ username: canonicalUsername(name) ?? nobody });
    if (!account) throw noUser(name);
    const isUnlocked = await unlockAccount(database, (await readSecretKeys(config)).counting, name);
    if (isUnlocked) audit("account-unlocked", { userId: account.id });
    printLine(
      isUnlocked
        ? "The counts of wrong passwords are reset. An instance may still reject attempts for two seconds."
        : "No wrong passwords are counted for this user.",
    );
  },
};

const noUser = (name: string) => new StartError(`There is no user ${JSON.stringify(name)}.`);

/** Reads standard input without its final line break; from a terminal, one line without echo. */
async function readPassword(): Promise<string> {
  if (process.stdin.isTTY) {
    process.stderr.write("New password: ");
    const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
    const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
    const closed = new Promise<never>((_, reject) => {
      lines.once("close", () => reject(new InputError("No password was given.")));
    });
    const line = await Promise.race([lines.question(""), closed]).finally(() => lines.close());
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
  throw new InputError(detail ?? `The password ${errors?.[0]?.detail ?? "is not accepted"}.`);
}
