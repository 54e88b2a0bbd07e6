/**
 * Parses the text of a contract in a thread, one at a time: a megabyte of YAML can take minutes, because the work for its keys and
 * its aliases is quadratic.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ContractError } from "../../packages/verify/src/contract/contract.ts";
import { Problem } from "../problems/problems.ts";
import { currentRequest, holdRequest } from "../requestContext.ts";

export type ParsedText = { json: string } | { problems: readonly string[] };

/** Ordinary YAML of a megabyte takes two seconds. */
const timeoutMs = 5_000;
const maxMemoryMb = 256;

let isBusy = false;

/**
 * @returns the document as JSON
 * @throws {ContractError} if the text is no document, or takes too much time or memory
 * @throws {Problem} `overloaded` while another text is parsed
 */
export async function parseContractText(text: string): Promise<string> {
  if (isBusy) throw new Problem("overloaded", { cause: new Error("Another contract is being parsed.") });
  isBusy = true;
  const parsing = parseInThread(text).finally(() => {
    isBusy = false;
  });
  const parsed = await (currentRequest() ? holdRequest(parsing) : parsing);
  if ("problems" in parsed) throw new ContractError(parsed.problems);
  return parsed.json;
}

async function parseInThread(text: string): Promise<ParsedText> {
  // From dist/ even if the program runs from src/, because a thread only runs JavaScript.
  const root = dirname(createRequire(import.meta.url).resolve("latchkey/package.json"));
  const worker = new Worker(join(root, "dist/src/access/contractTextThread.js"), {
    execArgv: [],
    workerData: text,
    resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb },
  });
  const parsed = new Promise<ParsedText>((resolve, reject) => {
    worker.once("message", resolve).once("error", reject);
    worker.once("exit", (status) => reject(new Error(`the thread ended with status ${status}`)));
  }).catch((error: NodeJS.ErrnoException): ParsedText => {
    if (error.code === "ERR_WORKER_OUT_OF_MEMORY") return tooCostly;
    throw error;
  });
  const abort = new AbortController();
  const timedOut = sleep(timeoutMs, tooCostly, { signal: abort.signal });
  try {
    return await Promise.race([parsed, timedOut]);
  } finally {
    abort.abort();
    await worker.terminate();
  }
}

const tooCostly: ParsedText = { problems: ["It takes too much time or memory to parse. Send it as JSON."] };
