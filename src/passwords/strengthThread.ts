/** The thread that strengthCheck.ts starts. */
import { parentPort } from "node:worker_threads";
import { findWeakness } from "./strength.ts";
import type { EstimateRequest, EstimateResult } from "./strengthCheck.ts";

parentPort?.on("message", ({ id, password, contextWords }: EstimateRequest) => {
  const result: EstimateResult = { id, weakness: findWeakness(password, contextWords) };
  parentPort?.postMessage(result);
});

parentPort?.postMessage("loaded");
