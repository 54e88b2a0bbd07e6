/**
 * Estimates passwords on a thread of its own: one can take a quarter of a second, and the dictionaries take some 60 MB. The thread starts
 * when a password is set, and ends when none has been set for a while.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Problem } from "../problems/problems.ts";
import type { Weakness } from "./weakness.ts";

export type Question = { id: number; password: string; contextWords: string[] };
export type Answer = { id: number; weakness: Weakness | undefined };

/** Of one estimate, and of the wait for the dictionaries, which take 0.3 s of processor time to load. */
const timeoutMs = 1_500;
const loadTimeoutMs = 10_000;
const idleMs = 10_000;
type Thread = {
  worker: Worker;
  isLoaded: boolean;
  /** Resolves when the dictionaries are loaded, or never will be. */
  loading: Promise<void>;
  pending: Map<number, (answer: Answer | Error) => void>;
  idle: NodeJS.Timeout;
};

let thread: Thread | undefined;
let lastId = 0;

/**
 * Starts the thread where none runs, and waits for its dictionaries. Loading the dictionaries is not queued.
 * @throws {Problem} `overloaded` where they are not loaded within 1.5 s
 */
export async function loadDictionaries(): Promise<void> {
  thread ??= startThread();
  const { isLoaded, loading } = thread;
  if (isLoaded) return;
  const abort = new AbortController();
  const timeout = sleep(timeoutMs, "late", { signal: abort.signal }).catch(() => "aborted");
  const outcome = await Promise.race([loading, timeout]);
  abort.abort();
  if (outcome === "late") throw new Problem("overloaded", { cause: new Error("The dictionaries are not loaded yet.") });
}

/**
 * @param contextWords in lower case
 * @returns why the password is weak; `undefined` where it is not
 * @throws {Problem} `overloaded` where there is no answer within 1.5 s. Callers take turns: what waits is in that time
 */
export async function checkWeakness(password: string, contextWords: string[]): Promise<Weakness | undefined> {
  thread ??= startThread();
  const { worker, pending, idle } = thread;
  idle.refresh();
  lastId += 1;
  const question: Question = { id: lastId, password, contextWords };
  const answer = await new Promise<Answer | Error>((resolve) => {
    const timer = setTimeout(() => timeOut(worker, question.id), timeoutMs);
    pending.set(question.id, (answer) => {
      clearTimeout(timer);
      pending.delete(question.id);
      resolve(answer);
    });
    worker.postMessage(question);
  });
  if (answer instanceof Error) throw new Problem("overloaded", { cause: answer });
  return answer.weakness;
}

function startThread(): Thread {
  // From the build, also where the rest runs from its sources: Node starts a thread with JavaScript only.
  const root = dirname(createRequire(import.meta.url).resolve("latchkey/package.json"));
  const worker = new Worker(join(root, "dist/src/passwords/weaknessThread.js"), {
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
  worker.on("message", (message: Answer | "loaded") => {
    if (message !== "loaded") return started.pending.get(message.id)?.(message);
    started.isLoaded = true;
    loaded();
    clearTimeout(load);
  });
  worker.on("error", (error: Error) => stopThread(worker, error));
  worker.unref(); // last: a listener holds the process again
  return started;
}

/** Whatever the thread is computing is to end: it would keep the next one waiting. */
function timeOut(worker: Worker, id: number): void {
  if (thread?.worker !== worker) return;
  const error = new Error("A password was not estimated in time.");
  if (thread.isLoaded) stopThread(worker, error);
  else thread.pending.get(id)?.(error);
}

/** Rejects what waits for the thread. The next password starts another one. */
function stopThread(worker: Worker, reason: Error): void {
  if (thread?.worker !== worker) return;
  const { pending, idle } = thread;
  thread = undefined;
  clearTimeout(idle);
  void worker.terminate();
  for (const resolve of [...pending.values()]) resolve(reason);
}
