/** The entry of the thread that weaknessCheck.ts starts. */
import { parentPort } from "node:worker_threads";
import { weaknessOf } from "./weakness.ts";
import type { Answer, Question } from "./weaknessCheck.ts";

parentPort?.on("message", ({ id, password, contextWords }: Question) => {
  const answer: Answer = { id, weakness: weaknessOf(password, contextWords) };
  parentPort?.postMessage(answer);
});

parentPort?.postMessage("loaded");
