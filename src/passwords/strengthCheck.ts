/**
 * Estimates the strength of passwords in a thread, because an estimate can take 0.25 s and the dictionaries take about 60 MB. The
 * thread starts when a password is set, and ends after 15 s without one.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Problem } from "../problems/problems.ts";
import { currentRequest } from "../requestContext.ts";
import type { Weakness } from "./strength.ts";

export type EstimateRequest = { id: number; password: string; contextWords: string[] };
export type EstimateResult = { id: number; weakness: Weakness | undefined };

/** The limit for an estimate, and for the wait for the dictionaries. Loading them takes 0.3 s of CPU time. */
const timeoutMs = 1_500;
const loadTimeoutMs = 10_000;
const idleMs = 15_000;
type Thread = {
  worker: Worker;
  isLoaded: boolean;
  /** Resolves when the dictionaries are loaded, or the thread has ended. */
  loading: Promise<void>;
  pending: Map<number, (result: EstimateResult | Error) => void>;
  idle: NodeJS.Timeout;
};

let thread: Thread | undefined;
let lastId = 0;

/**
 * Starts the thread if none runs, and waits until its dictionaries are loaded.
 * @throws {Problem} `overloaded` if they are not loaded within 1.5 s, or 10 s for a command, which has no client that waits
 */
export async function loadDictionaries(): Promise<void> {
  thread ??= startThread();
  const { isLoaded, loading } = thread;
  if (isLoaded) return;
  const abort = new AbortController();
  const timeout = sleep(currentRequest() ? timeoutMs : loadTimeoutMs, "late", { signal: abort.signal }).catch(
    () => "aborted",
  );
  const outcome = await Promise.race([loading, timeout]);
  abort.abort();
  if (outcome === "late") throw new Problem("overloaded", { cause: new Error("The dictionaries are not loaded yet.") });
}

/**
 * @param contextWords in lower case
 * @returns why the password is weak; `undefined` for a strong one
 * @throws {Problem} `overloaded` if there is no result within 1.5 s, including the wait for other estimates
 */
export async function checkStrength(password: string, contextWords: string[]): Promise<Weakness | undefined> {
  thread ??= startThread();
  const { worker, pending, idle } = thread;
  idle.refresh();
  lastId += 1;
  const request: EstimateRequest = { id: lastId, password, contextWords };
  const result = await new Promise<EstimateResult | Error>((resolve) => {
    const timer = setTimeout(() => timeOut(worker, request.id), timeoutMs);
    pending.set(request.id, (result) => {
      clearTimeout(timer);
      pending.delete(request.id);
      resolve(result);
    });
    worker.postMessage(request);
  });
  if (result instanceof Error) throw new Problem("overloaded", { cause: result });
  return result.weakness;
}

function startThread(): Thread {
  // From dist/ even if the program runs from src/, because a thread only runs JavaScript.
  const root = dirname(createRequire(import.meta.url).resolve("latchkey/package.json"));
  const worker = new Worker(join(root, "dist/src/passwords/strengthThread.js"), {
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 128 },
  });
  const stopAfter = (ms: number, reason: string) => setTimeout(() => stopThread(worker, new Error(reason)), ms).unref();
  const idle = stopAfter(idleMs, "No password was estimated for a while.");
  const load = stopAfter(loadTimeoutMs, "The dictionaries were not loaded in time.");
  let loaded = () => {};
  const loading = new Promise<void>((resolve) => {
    loaded = resolve;
  });
  worker.once("exit", loaded);
  const started: Thread = { worker, isLoaded: false, loading, pending: new Map(), idle };
  worker.on("message", (message: EstimateResult | "loaded") => {
    if (message !== "loaded") return started.pending.get(message.id)?.(message);
    started.isLoaded = true;
    loaded();
    clearTimeout(load);
  });
  worker.on("error", (error: Error) => stopThread(worker, error));
  worker.unref(); // last, because adding listeners refs the worker again
  return started;
}

/** Stops a thread that is busy with a password, so that the next password does not wait for it. */
function timeOut(worker: Worker, id: number): void {
  if (thread?.worker !== worker) return;
  const error = new Error("A password was not estimated in time.");
  if (thread.isLoaded) stopThread(worker, error);
  else thread.pending.get(id)?.(error);
}

/** Stops the thread, and rejects the waiting passwords. The next password starts another thread. */
function stopThread(worker: Worker, reason: Error): void {
  if (thread?.worker !== worker) return;
  const { pending, idle } = thread;
  thread = undefined;
  clearTimeout(idle);
  void worker.terminate();
  for (const resolve of [...pending.values()]) resolve(reason);
}
