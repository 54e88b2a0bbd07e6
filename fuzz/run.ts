/** Many runs of steps against one service, and what was found. */
import { Agent } from "node:http";
import fc from "fast-check";
import { answerChecker } from "../test/support/answers.ts";
import type { Api } from "./contract/operations.ts";
import { curlLines } from "./curl.ts";
import { Finding } from "./finding.ts";
import { plainStep } from "./generators/plainest.ts";
import { sequences } from "./generators/steps.ts";
import { sendRequest } from "./http.ts";
import type { User } from "./model.ts";
import type { Step } from "./plan.ts";
import { play } from "./play.ts";
import { promises as allPromises } from "./promises/index.ts";
import { createProbe, type ServiceDetails, Unchecked } from "./promises/probe.ts";

export type FuzzOptions = {
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
  /** What is known of the service beside its address. */
  details?: ServiceDetails;
  /** Which promises are checked before the random requests: all, unless a failure is played again. */
  promises?: string[];
  /** So many seeds are played at a time: the service waits for its database, and the fuzzer would wait for it. */
  concurrency?: number;
};

export type FuzzResult = {
  requests: number;
  /** How often each operation returned each status. What is for no operation is `(none)`. */
  statuses: Map<string, Map<number, number>>;
  /** Those that the service must have at the end. */
  users: User[];
  failure: Failure | undefined;
  /** Promises that could not be checked, and why. */
  unchecked: Map<string, string>;
};

export type Failure = {
  seed: number;
  path: string;
  /** The promise that is broken, where it is one of those that are checked by name. */
  promise?: string;
  what: string;
  curl: string[];
};

/** Runs of one seed. The next ones are of the next seed, so that a failure can be played again without those before it. */
const runsOfOneSeed = 100;

/** Checks the promises, then sends requests made of the contract, until there were enough or one answer was wrong. */
export async function fuzz({
  api,
  url,
  expiredTokens = [],
  details = {},
  requests,
  seed,
  path,
  promises = path === undefined ? Object.keys(allPromises) : [],
  concurrency = 4,
}: FuzzOptions): Promise<FuzzResult> {
  const fuzzed: FuzzResult = { requests: 0, statuses: new Map(), users: [], failure: undefined, unchecked: new Map() };
  const conforms = answerChecker(api.contract);
  const arbitrary = sequences(api);
  const started = String(Date.now() % 1e9);
  let runs = 0;
  let nextSeed = seed;

  const check = (...[method, target, answer]: Parameters<typeof conforms>): void =>
    count(fuzzed.statuses, conforms(method, target, answer) ?? "(none)", answer.status);
  const stageOf = (agent: Agent) => {
    runs += 1;
    const send = (request: Parameters<typeof sendRequest>[2], from?: string) => {
      fuzzed.requests += 1;
      return sendRequest(new URL(url), from === undefined ? agent : new Agent({ localAddress: from }), request);
    };
    return { api, runId: started + runs, expiredTokens, send, check };
  };

  const playOne = async (steps: Step[], agent: Agent): Promise<void> => {
    if (fuzzed.failure) return; // one is enough, and the other concurrency need not go on
    fuzzed.users.push(...(await play(steps, stageOf(agent))));
  };

  const checkPromises = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (const promise of promises) {
      const probe = createProbe({ ...stageOf(agent), ...details });
      await allPromises[promise]?.(probe).catch((error: unknown) => {
        if (error instanceof Unchecked) fuzzed.unchecked.set(promise, error.message);
        else fuzzed.failure = { ...failureOf(url, seed, null, error), promise };
      });
      if (fuzzed.failure) break;
    }
    agent.destroy();
  };

  /** Each operation's plainest request, so that each has succeeded, whatever the seed is. */
  const tour = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const steps = api.operations.map((operation) => plainStep(api, operation, "tour"));
    await playOne(steps, agent).catch((error: unknown) => {
      fuzzed.failure ??= failureOf(url, seed, null, error);
    });
    agent.destroy();
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
  await checkPromises();
  await Promise.all(Array.from({ length: path === undefined ? concurrency : 1 }, playSeeds));
  if (path === undefined && requests > 0 && !fuzzed.failure) await tour();
  return fuzzed;
}

function failureOf(url: string, seed: number, path: string | null, error: unknown): Failure {
  if (!(error instanceof Finding)) throw error;
  return { seed, path: path ?? "", what: error.message, curl: curlLines(url, error.sentRequests) };
}

export function count(statuses: FuzzResult["statuses"], operation: string, status: number, times = 1): void {
  const counts = statuses.get(operation) ?? new Map<number, number>();
  counts.set(status, (counts.get(status) ?? 0) + times);
  statuses.set(operation, counts);
}

/** What two of them sent and found, mergeResults. */
export function mergeResults(one: FuzzResult, other: FuzzResult): FuzzResult {
  const statuses: FuzzResult["statuses"] = new Map();
  for (const fuzzed of [one, other]) {
    for (const [operation, counts] of fuzzed.statuses) {
      for (const [status, times] of counts) count(statuses, operation, status, times);
    }
  }
  return {
    requests: one.requests + other.requests,
    statuses,
    users: [...one.users, ...other.users],
    failure: one.failure ?? other.failure,
    unchecked: new Map([...one.unchecked, ...other.unchecked]),
  };
}

/** The statuses as lines of a table. */
export function tableOf({ statuses }: FuzzResult): string[] {
  return [...statuses]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([operation, counts]) => {
      const cells = [...counts].sort(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`);
      return `${operation.padEnd(18)} ${cells.join(", ")}`;
    });
}
