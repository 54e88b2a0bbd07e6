/** The thread that contractText.ts starts for one text. */
import { parentPort, workerData } from "node:worker_threads";
import { ContractError, parseDocument } from "../../packages/verify/src/contract/contract.ts";
import { toJson } from "./contractJson.ts";
import type { ParsedText } from "./contractText.ts";

const text: string = workerData;
const parse = async (): Promise<ParsedText> => {
  try {
    return { json: toJson(await parseDocument(text)) };
  } catch (error) {
    if (error instanceof ContractError) return { problems: error.problems };
    throw error;
  }
};
parentPort?.postMessage(await parse());
