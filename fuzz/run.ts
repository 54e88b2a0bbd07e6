/** Checks the promises and plays random sequences of requests against one service, until the first failure. */
import { Agent } from "node:http";
import fc from "fast-check";
import { answerChecker } from "../test/support/answers.ts";
import type { Api } from "./contract/operations.ts";
import { curlLines } from "./curl.ts";
import { Finding } from "./finding.ts";
import { flowsOf } from "./generators/flows.ts";
import { simplestStep } from "./generators/simplest.ts";
import { sequences } from "./generators/steps.ts";
import { sendRequest } from "./http.ts";
import type { User } from "./model.ts";
import type { Step } from "./plan.ts";
import { play } from "./play.ts";
import { promises as allPromises } from "./promises/index.ts";
import { createProbe, type ServiceDetails, Unchecked } from "./promises/probe.ts";

export type FuzzOptions = {
  api: Api;
  /** The origin of the service. */
  url: string;
  /** Tokens that the service issued and that have expired. */
  expiredTokens?: string[];
  /** No sequence is started after this number of requests. */
  requests: number;
  seed: number;
  /** The path of a failure, which alone is repeated. */
  path?: string | undefined;
  /** What is known about the service besides its address. */
  details?: ServiceDetails;
  /** The promises to check before the random requests. Default: all, or none if a failure is repeated. */
  promises?: string[];
  /** The number of seeds that are played at a time, because the service often waits for its database. */
  concurrency?: number;
};

export type FuzzResult = {
  requests: number;
  /** The number of responses by operation and status. Requests for no operation count as `(none)`. */
  statuses: Map<string, Map<number, number>>;
  /** The users that the service must have at the end. */
  users: User[];
  failure: Failure | undefined;
  /** The promises that could not be checked, and the reason. */
  unchecked: Map<string, string>;
};

export type Failure = {
  seed: number;
  path: string;
  /** The broken promise, if the failure is one. */
  promise?: string;
  what: string;
  curl: string[];
};

/** Sequences of one seed. The next seed follows, so that a failure can be repeated without all sequences before it. */
const sequencesPerSeed = 100;

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
  const result: FuzzResult = { requests: 0, statuses: new Map(), users: [], failure: undefined, unchecked: new Map() };
  const conforms = answerChecker(api.contract);
  const arbitrary = sequences(api);
  const started = String(Date.now() % 1e9);
  let runs = 0;
  let nextSeed = seed;

  const check = (...[method, target, answer]: Parameters<typeof conforms>): void =>
    count(result.statuses, conforms(method, target, answer) ?? "(none)", answer.status);
  const accessBy = (agent: Agent) => {
    runs += 1;
    const send = (request: Parameters<typeof sendRequest>[2], from?: string) => {
      result.requests += 1;
      return sendRequest(new URL(url), from === undefined ? agent : new Agent({ localAddress: from }), request);
    };
    const { administrator, beginAuthorization, issuer = url } = details;
    return { api, runId: started + runs, expiredTokens, send, check, administrator, beginAuthorization, issuer };
  };

  const playOne = async (steps: Step[], agent: Agent): Promise<void> => {
    if (result.failure) return; // of another seed, played at the same time
    result.users.push(...(await play(steps, accessBy(agent))));
  };

  const checkPromises = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (const promise of promises) {
      const probe = createProbe({ ...accessBy(agent), ...details });
      await allPromises[promise]?.(probe).catch((error: unknown) => {
        if (error instanceof Unchecked) result.unchecked.set(promise, error.message);
        else result.failure = { ...failureOf(url, seed, null, error), promise };
      });
      if (result.failure) break;
    }
    agent.destroy();
  };

  /** Sends the simplest request of each operation, and each flow, so that each has succeeded, whatever the seed. */
  const playEveryOperation = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const steps = api.operations.map((operation) => simplestStep(api, operation, "every"));
    for (const sequence of [...flowsOf(api).values(), steps]) {
      await playOne(sequence, agent).catch((error: unknown) => {
        result.failure ??= failureOf(url, seed, null, error);
      });
    }
    agent.destroy();
  };

  const playSeeds = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      while (result.requests < requests && !result.failure) {
        const seedNow = nextSeed++;
        const property = fc.asyncProperty(arbitrary, (steps) => playOne(steps, agent));
        const outcome = await fc.check(property, {
          seed: seedNow,
          numRuns: sequencesPerSeed,
          endOnFailure: path !== undefined, // a failure with a path is shrunk already
          ...(path !== undefined && { path }),
        });
        if (outcome.failed)
          result.failure ??= failureOf(url, seedNow, outcome.counterexamplePath, outcome.errorInstance);
        if (path !== undefined) return;
      }
    } finally {
      agent.destroy();
    }
  };
  await checkPromises();
  await Promise.all(Array.from({ length: path === undefined ? concurrency : 1 }, playSeeds));
  if (path === undefined && requests > 0 && !result.failure) await playEveryOperation();
  return result;
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

export function mergeResults(one: FuzzResult, other: FuzzResult): FuzzResult {
  const statuses: FuzzResult["statuses"] = new Map();
  for (const result of [one, other]) {
    for (const [operation, counts] of result.statuses) {
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
