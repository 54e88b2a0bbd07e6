/** `latchkey sessions`: ends the sessions and tokens of all users, or of one. */
import { StartError } from "../errors.ts";
import { canonicalUsername } from "../users/username.ts";
import { usernameOf } from "./account.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { endEverything, endUser } from "./bulkRevocation.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { counted, printLine } from "./output.ts";

export const defineSessions: Define = (sessions, execute) => {
  sessions
    .command("end")
    .description("End sessions and their tokens. Every instance rejects them within a second.")
    .option("--all", "of all users")
    .option("--user <name>", "of the user with this name or id")
    .addHelpText("after", examples("sessions end --user miguel", "sessions end --all"))
    .action(async ({ all = false, user }) => {
      if (all === (user !== undefined))
        throw wrongUsage("sessions end", "Which sessions? latchkey sessions end --all, or --user NAME.");
      await execute(withDatabase((tools) => (user === undefined ? endAll(tools) : endOf(tools, user))));
    });
};

async function endAll({ atomically, audit }: Tools): Promise<void> {
  const ended = await atomically(endEverything);
  audit("all-sessions-ended", {});
  printLine(`Ended ${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}, and every token.`);
}

async function endOf({ database, atomically, audit }: Tools, name: string): Promise<void> {
  const username = canonicalUsername(await usernameOf(database, name));
  const ended = username && (await atomically((transaction) => endUser(transaction, username)));
  if (!ended) throw new StartError(`There is no user ${JSON.stringify(name)}.`);
  audit("sessions-ended", { userId: ended.userId, reason: "operator" });
  printLine(`Ended ${counted(ended.sessions, "session")} of ${username}, and every token.`);
}
