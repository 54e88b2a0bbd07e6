/** The ceiling of sign-ins: verifications and nothing else. Prints how many a second; the first argument is how long. */
import { hash, verify } from "@node-rs/argon2";
import { argon2 } from "./argon2.js";

/** As many at a time as Latchkey runs. */
const concurrency = 2;
const password = "correct horse battery";
const stored = await hash(password, argon2);
const began = performance.now();
const until = began + Number(process.argv[2]) * 1000;
let done = 0;
const lane = async () => {
  for (; performance.now() < until; done += 1) await verify(stored, password);
};
await Promise.all(Array.from({ length: concurrency }, lane));
console.log(JSON.stringify({ perSecond: (done * 1000) / (performance.now() - began), requests: done }));
