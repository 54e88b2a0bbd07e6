/** What all parts of a run share. */
import { join } from "node:path";
import type { Postgres } from "./database.ts";
import type { LoadSpec } from "./load/protocol.ts";
import type { Plan } from "./measure.ts";
import { startWorker, type Worker } from "./processes.ts";
import type { Progress } from "./progress.ts";

export type Bench = {
  postgres: Postgres;
  /** The binary of Node 24. Load generators always run on it. */
  node24: string;
  plan: Plan;
  /** The number of users who sign in, in turn. */
  users: number;
  /** The number of sessions that are refreshed, in turn. */
  sessions: number;
  /** The number of API keys that are checked once. */
  apiKeys: number;
  /** The number of rows that "a million" stands for. */
  million: number;
  progress: Progress;
};

/** A version of Node to measure. */
export type NodeVersion = { major: string; binary: string };

/** The path of a compiled program of bench/. */
export const compiled = (name: string): string => join(import.meta.dirname, "dist", `${name}.js`);

/** Starts a load generator. */
export const startLoad = ({ node24 }: Bench, spec: LoadSpec): Promise<Worker> =>
  startWorker(node24, compiled(`load/${kindOf(spec)}`), spec);

const kindOf = ({ refreshTokens, apiKeys, codeFlows }: LoadSpec): string => {
  if (codeFlows) return "codeFlows";
  if (apiKeys !== undefined) return "firstChecks";
  return refreshTokens ? "refreshes" : "requests";
};
