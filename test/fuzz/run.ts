/** Many runs of steps against one service, and what was found. */
import { Agent } from "node:http";
import fc from "fast-check";
import { answerChecker } from "../support/answers.ts";
import { sequences } from "./arbitraries.ts";
import type { User } from "./books.ts";
import { curlLines } from "./curl.ts";
import type { Api } from "./operations.ts";
import type { Step } from "./plan.ts";
import { Finding, play } from "./play.ts";
import { exchange } from "./wire.ts";

export type Fuzzing = {
  api: Api;
  /** Where the service listens. */
  url: string;
  /** Tokens of the service whose time is over. */
  expiredTokens?: string[];
  /** No more runs are begun after so many requests. */
  requests: number;
  seed: number;
  /** Of a failure: only that one is played. */
  path?: string | undefined;
  /** So many seeds are played at a time: the service waits for its database, and the fuzzer would wait for it. */
  lanes?: number;
};

export type Fuzzed = {
  requests: number;
  /** How often each operation gave each status. What is for no operation is `(none)`. */
  statuses: Map<string, Map<number, number>>;
  /** Those that the service must have at the end. */
  users: User[];
  failure: Failure | undefined;
};

export type Failure = { seed: number; path: string; what: string; curl: string[] };

/** Runs of one seed. The next ones are of the next seed, so that a failure can be played again without those before it. */
const runsOfOneSeed = 100;

/** Sends requests made of the contract, until there were enough or one answer was wrong. */
export async function fuzz({
  api,
  url,
  expiredTokens = [],
  requests,
  seed,
  path,
  lanes = 4,
}: Fuzzing): Promise<Fuzzed> {
  const fuzzed: Fuzzed = { requests: 0, statuses: new Map(), users: [], failure: undefined };
  const check = answerChecker(api.contract);
  const arbitrary = sequences(api);
  const started = String(Date.now() % 1e9);
  let runs = 0;
  let nextSeed = seed;

  const playOne = async (steps: Step[], agent: Agent): Promise<void> => {
    if (fuzzed.failure) return; // one is enough, and the other lanes need not go on
    runs += 1;
    const stage = {
      api,
      tag: started + runs,
      expiredTokens,
      send: (request: Parameters<typeof exchange>[2]) => {
        fuzzed.requests += 1;
        return exchange(new URL(url), agent, request);
      },
      check(...[method, target, answer]: Parameters<typeof check>) {
        count(fuzzed.statuses, check(method, target, answer) ?? "(none)", answer.status);
      },
    };
    fuzzed.users.push(...(await play(steps, stage)));
  };

  const playSeeds = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      while (fuzzed.requests < requests && !fuzzed.failure) {
        const seedNow = nextSeed++;
        const property = fc.asyncProperty(arbitrary, (steps) => playOne(steps, agent));
        const details = await fc.check(property, {
          seed: seedNow,
          numRuns: runsOfOneSeed,
          endOnFailure: path !== undefined, // it has been shrunk
          ...(path !== undefined && { path }),
        });
        if (details.failed)
          fuzzed.failure ??= failureOf(url, seedNow, details.counterexamplePath, details.errorInstance);
        if (path !== undefined) return;
      }
    } finally {
      agent.destroy();
    }
  };
  await Promise.all(Array.from({ length: path === undefined ? lanes : 1 }, playSeeds));
  return fuzzed;
}

function failureOf(url: string, seed: number, path: string | null, error: unknown): Failure {
  if (!(error instanceof Finding)) throw error;
  return { seed, path: path ?? "", what: error.message, curl: curlLines(url, error.exchanges) };
}

function count(statuses: Fuzzed["statuses"], operation: string, status: number): void {
  const counts = statuses.get(operation) ?? new Map<number, number>();
  counts.set(status, (counts.get(status) ?? 0) + 1);
  statuses.set(operation, counts);
}

/** The statuses as lines of a table. */
export function tableOf({ statuses }: Fuzzed): string[] {
  return [...statuses]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([operation, counts]) => {
      const cells = [...counts].sort(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`);
      return `${operation.padEnd(18)} ${cells.join(", ")}`;
    });
}
