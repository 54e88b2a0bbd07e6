/** A ceiling: nothing but argon2 verifications, as many at a time as Latchkey has. Driven by messages of how long, in seconds. */
import { createHistogram } from "node:perf_hooks";
import { hash, verify } from "@node-rs/argon2";
import { outcomeOf } from "../load/load.ts";

const atOnce = 2;
const password = "correct horse battery";
const stored = await hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });

process.on("message", (seconds: number) => {
  const times = createHistogram();
  const began = performance.now();
  const verifyUntilTheEnd = async () => {
    while (performance.now() - began < seconds * 1000) {
      const start = performance.now();
      await verify(stored, password);
      times.record(Math.round((performance.now() - start) * 1000));
    }
  };
  void Promise.all(Array.from({ length: atOnce }, verifyUntilTheEnd)).then(() =>
    process.send?.(outcomeOf(times, 0, performance.now() - began)),
  );
});
process.send?.("ready");
