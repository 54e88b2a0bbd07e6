/** The thread that shaCrypt.ts starts for one password. */
import { parentPort, workerData } from "node:worker_threads";
import { type ShaCrypt, shaCryptDigest } from "./shaCryptDigest.ts";

const { password, ...parameters }: ShaCrypt & { password: string } = workerData;
parentPort?.postMessage(shaCryptDigest(password, parameters));
