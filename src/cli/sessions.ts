/** `latchkey sessions end`: ends the sessions and tokens of all users, or of one. */
import { StartError, UsageError } from "../errors.ts";
import { canonicalUsername } from "../users/username.ts";
import { usernameOf } from "./account.ts";
import { type Command, parseArguments, type Run, unknownCommand } from "./arguments.ts";
import { endEverything, endUser } from "./bulkRevocation.ts";
import { withDatabase } from "./database.ts";
import { counted, printLine } from "./output.ts";

export const sessions: Command = (args) => {
  const { positionals, values } = parseArguments(args, { all: { type: "boolean" }, user: { type: "string" } });
  if (positionals.join(" ") !== "end") throw unknownCommand(["sessions", ...args]);
  const { all = false, user } = values;
  if (all === (user !== undefined))
    throw new UsageError("Which sessions? latchkey sessions end --all, or --user NAME.");
  return user === undefined ? endAll : endOf(user);
};

const endAll: Run = (config, log) =>
  withDatabase(config, log, async ({ atomically, audit }) => {
    const ended = await atomically(endEverything);
    audit("all-sessions-ended", {});
    printLine(`Ended ${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}, and every token.`);
  });

const endOf =
  (name: string): Run =>
  (config, log) =>
    withDatabase(config, log, async ({ database, atomically, audit }) => {
      const username = canonicalUsername(await usernameOf(database, name));
      const ended = username && (await atomically((transaction) => endUser(transaction, username)));
      if (!ended) throw new StartError(`There is no user ${JSON.stringify(name)}.`);
      audit("sessions-ended", { userId: ended.userId, reason: "operator" });
      printLine(`Ended ${counted(ended.sessions, "session")} of ${username}, and every token.`);
    });
