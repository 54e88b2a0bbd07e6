/** A load generator: first checks of API keys. Each key is sent once. */
import { createHistogram } from "node:perf_hooks";
import { Pool } from "undici";
import { keyOf } from "../apiKeys.ts";
import { loadResult, serveLoad } from "./protocol.ts";

serveLoad(({ url, connections, apiKeys = 0 }) => {
  const pool = new Pool(url, { connections });
  let next = 0;

  return async (seconds) => {
    const times = createHistogram();
    const began = performance.now();
    let failed = 0;
    const checkUntilEnd = async () => {
      while (performance.now() - began < seconds * 1000) {
        if (next === apiKeys) throw new Error("Every key has been used.");
        const authorization = `Bearer ${keyOf(next++)}`;
        const sent = performance.now();
        const { statusCode, body } = await pool.request({
          method: "GET",
          path: "/api/resource",
          headers: { authorization },
        });
        await body.dump();
        if (statusCode === 200) times.record(Math.max(1, Math.round((performance.now() - sent) * 1000)));
        else failed += 1;
      }
    };
    await Promise.all(Array.from({ length: connections }, checkUntilEnd));
    return loadResult(times, failed, performance.now() - began);
  };
});
