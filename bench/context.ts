/** What all parts of a run share. */
import { join } from "node:path";
import type { Postgres } from "./database.ts";
import type { Job } from "./load/load.ts";
import type { Plan } from "./measure.ts";
import { startWorker, type Worker } from "./processes.ts";

export type Bench = {
  postgres: Postgres;
  /** The newer Node, on which the load generators run, whatever is measured. */
  node24: string;
  plan: Plan;
  /** How many users sign in, in turn, and how many sessions are refreshed. */
  users: number;
  sessions: number;
  /** How many users and sessions, or revocations, "a million" is. */
  million: number;
};

/** A Node to measure on: its major version, and its binary. */
export type NodeVersion = { major: string; binary: string };

/** A program of bench/ as Node runs it. */
export const compiled = (name: string): string => join(import.meta.dirname, "dist", `${name}.js`);

/** A process that makes this load. */
export const startLoad = ({ node24 }: Bench, job: Job): Promise<Worker> =>
  startWorker(node24, compiled(job.refreshTokens ? "load/refreshes" : "load/independent"), job);
