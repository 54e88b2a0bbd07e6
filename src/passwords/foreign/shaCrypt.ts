/** `$5$` (sha256_crypt) and `$6$` (sha512_crypt) of glibc and passlib. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { grouped, type HashReader, isEqual, malformed, tooExpensive, wholeNumber } from "./foreignHash.ts";
import type { ShaCrypt } from "./shaCryptDigest.ts";

/** Takes about two seconds. The default of passlib is 656,000 rounds at most, and 1,024,000 for its administrators. */
const maxRounds = 2_000_000;
/** The specification raises a lower number to this one. Programs write the raised number. */
const minRounds = 1000;
const defaultRounds = 5000;
/** In UTF-8. The work grows with the length of the password. A longer password does not match. */
const maxPasswordBytes = 512;

/** The last character of a digest has only two or four bits. */
const shape =
  /^\$([56])\$(?:rounds=(\d+)\$)?([!-#%-9;-~]{0,16})\$([./0-9A-Za-z]{42}[./0-9A-D]|[./0-9A-Za-z]{85}[./01])$/;

export const readShaCrypt: HashReader = (text) => {
  const [prefix, id] = /^(?:\{CRYPT\})?\$([56])\$/.exec(text) ?? [];
  if (prefix === undefined) return undefined;
  const algorithm = id === "5" ? "sha256" : "sha512";
  const form = `${algorithm}_crypt`;
  const [, , roundsText, salt = "", digest] = shape.exec(text.replace(/^\{CRYPT\}/, "")) ?? [];
  const rounds = roundsText === undefined ? defaultRounds : wholeNumber(roundsText);
  const isComplete = digest?.length === (id === "5" ? 43 : 86);
  if (!isComplete || !(rounds >= minRounds) || salt.startsWith("rounds=")) return malformed(form);
  const parameters = `${grouped(rounds)} rounds`;
  if (rounds > maxRounds) return tooExpensive(form, parameters, grouped(maxRounds));
  return {
    form,
    parameters,
    work: rounds,
    async matches(password) {
      const isShort = Buffer.byteLength(password) <= maxPasswordBytes;
      const computed = await computeInThread(isShort ? password : "", { algorithm, rounds, salt });
      return isEqual(Buffer.from(computed), Buffer.from(digest)) && isShort;
    },
  };
};

/** In a thread of its own, because a digest takes up to two seconds. A thread takes 30 ms and ends with the digest. */
function computeInThread(password: string, parameters: ShaCrypt): Promise<string> {
  // From dist/ even if the program runs from src/, because a thread only runs JavaScript.
  const root = dirname(createRequire(import.meta.url).resolve("latchkey/package.json"));
  const worker = new Worker(join(root, "dist/src/passwords/foreign/shaCryptThread.js"), {
    execArgv: [],
    workerData: { password, ...parameters },
    resourceLimits: { maxOldGenerationSizeMb: 32 },
  });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve).once("error", reject);
    worker.once("exit", (status) => reject(new Error(`the thread of a password check ended with status ${status}`)));
  });
}
