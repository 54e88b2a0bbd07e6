/** `latchkey sessions`: lists the sessions of a user; ends a session, those of a user, or all. */
import { StartError } from "../errors.ts";
import { sessionId } from "../identifiers.ts";
import { readPage } from "../lib/page.ts";
import { representSession } from "../sessions/handlers.ts";
import { sessionStore } from "../sessions/store.ts";
import type { Session } from "../sessions/storeTypes.ts";
import { representUser } from "../users/representUser.ts";
import { noUser } from "./account.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { endEverything, endUser } from "./bulkRevocation.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { optionTexts, parseId, parseLimit } from "./options.ts";
import { counted } from "./output.ts";
import { pages } from "./paging.ts";
import { printDone, printRows } from "./results.ts";
import { findUser } from "./users/accounts.ts";

export const defineSessions: Define = (sessions, execute) => {
  sessions
    .command("list")
    .description("List the sessions of a user, newest first. Times of use are rounded to hours.")
    .requiredOption("--user <name>", optionTexts.name)
    .option("--limit <number>", optionTexts.limit, parseLimit)
    .option("--after <id>", optionTexts.after, parseId)
    .option("--json", optionTexts.json)
    .addHelpText("after", examples("sessions list --user miguel", "sessions list --user miguel --json"))
    .action((options) => execute(withDatabase((tools) => list(tools, options))));

  sessions
    .command("end")
    .description("End sessions and their tokens. Every instance rejects them within a second.")
    .argument("[id]", "the id of one session", parseId)
    .option("--user <name>", "all sessions of the user with this name or id")
    .option("--all", "all sessions of all users")
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples("sessions end 0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90", "sessions end --user miguel", "sessions end --all"),
    )
    .action(async (id, { all = false, user, json }) => {
      if (Number(all) + Number(user !== undefined) + Number(id !== undefined) !== 1)
        throw wrongUsage("sessions end", "Which sessions? latchkey sessions end ID, --all, or --user NAME.");
      await execute(
        withDatabase((tools) => {
          if (id !== undefined) return endOne(tools, id, json);
          return user === undefined ? endAll(tools, json) : endOf(tools, user, json);
        }),
      );
    });
};

type ListOptions = { user: string; limit?: number; after?: string; json?: true };

async function list(tools: Tools, { user: name, limit, after, json }: ListOptions): Promise<void> {
  const user = await findUser(tools, name);
  const store = sessionStore(tools.database);
  const read = async (limit: number, after: string | undefined) => {
    const { items, next } = await readPage(
      limit,
      (count) => store.list(user.id, count, after),
      ({ id }) => id,
    );
    return { items: items.map(toRow), next };
  };
  await printRows(pages(read, { limit, after }), {
    columns: ["id", "created_at", "last_used_at", "expires_at", "address", "user_agent"],
    optional: ["user_agent", "expires_at", "created_at"],
    json,
    none: `${user.username} has no sessions.`,
  });
}

/** As in the API, without `current`: a command has no session. */
function toRow(session: Session) {
  const { current: _, ...row } = representSession(session, false);
  return row;
}

async function endOne({ database, audit }: Tools, id: string, json: true | undefined): Promise<void> {
  const store = sessionStore(database);
  const { state: session } = await store.find(sessionId(id), 0);
  if (!session || !(await store.end(session.userId, sessionId(id))))
    throw new StartError(`There is no session ${id} that has not ended.`);
  audit("session-ended", { userId: session.userId, sessionId: id, reason: "operator" });
  await printDone("Ended the session, and every token of it.", { id, user_id: session.userId }, json);
}

async function endAll({ atomically, audit }: Tools, json: true | undefined): Promise<void> {
  const ended = await atomically(endEverything);
  audit("all-sessions-ended", {});
  const sentence = `Ended ${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}, and every token.`;
  await printDone(sentence, ended, json);
}

/** Ends every session and every token of a user. */
export async function endOf(tools: Tools, name: string, json: true | undefined): Promise<void> {
  const { atomically, audit } = tools;
  const user = await findUser(tools, name);
  const { username } = user;
  const ended = await atomically((transaction) => endUser(transaction, username));
  if (!ended) throw noUser(name);
  audit("sessions-ended", { userId: ended.userId, reason: "operator" });
  const sentence = `Ended ${counted(ended.sessions, "session")} of ${username}, and every token.`;
  await printDone(sentence, representUser(user), json);
}
