/**
 * Confirms that a server was still the primary when a request read from it. While a primary is replaced, connections may lead to the
 * old one for a few seconds. Its data can be read, but lacks the newest changes. It cannot commit, because no synchronous standby
 * follows it.
 */
import { Problem } from "../problems/problems.ts";
import { untilDeadline } from "./database.ts";
import type { Pools } from "./pools.ts";
import { probeCommit } from "./writeCheck.ts";

/**
 * Confirms a server by its start time, or any server. Waits for a test commit that begins after the call. Concurrent calls share one,
 * so that a flood makes few.
 * @throws {Problem} `database-unavailable`
 */
export type ServerCheck = (server: string | undefined) => Promise<void>;

export function createServerCheck({ commitProbe, renew }: Pick<Pools, "commitProbe" | "renew">): ServerCheck {
  let running: Promise<unknown> = Promise.resolve();
  let upcoming: Promise<string> | undefined;
  const nextCommit = (): Promise<string> => {
    upcoming ??= running.then(() => {
      upcoming = undefined;
      const commit = probeCommit(commitProbe);
      running = commit.catch(() => {});
      return commit;
    });
    return upcoming;
  };
  const unavailable = (cause: unknown): never => {
    throw new Problem("database-unavailable", { cause });
  };

  return async (server) => {
    const current = await untilDeadline(nextCommit).then(undefined, unavailable);
    if (server === undefined || current === server) return;
    renew(); // a connection leads to an old server
    unavailable(new Error("The server was replaced."));
  };
}
