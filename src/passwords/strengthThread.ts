/** The thread that strengthCheck.ts starts. */
import { parentPort } from "node:worker_threads";
import { findWeakness } from "./strength.ts";
import type { Answer, Question } from "./strengthCheck.ts";

parentPort?.on("message", ({ id, password, contextWords }: Question) => {
  const answer: Answer = { id, weakness: findWeakness(password, contextWords) };
  parentPort?.postMessage(answer);
});

parentPort?.postMessage("loaded");
