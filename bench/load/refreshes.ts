/** A load generator: refreshes. Each uses the refresh token that the previous one of its session returned. */
import { createHistogram } from "node:perf_hooks";
import { Pool } from "undici";
import { loadResult, serveLoad } from "./protocol.ts";

serveLoad(({ url, connections, refreshTokens = [] }) => {
  const pool = new Pool(url, { connections });
  // A queue: the least recently used session is next.
  const tokens = [...refreshTokens];

  return async (seconds) => {
    const times = createHistogram();
    const began = performance.now();
    let failed = 0;
    const refreshUntilEnd = async () => {
      while (performance.now() - began < seconds * 1000) {
        const token = tokens.shift();
        if (token === undefined) throw new Error("All sessions failed.");
        const sent = performance.now();
        const { statusCode, body } = await pool.request({
          method: "POST",
          path: "/api/token",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ refresh_token: token }),
        });
        const answer = (await body.json()) as { refresh_token: string };
        if (statusCode === 200) {
          times.record(Math.max(1, Math.round((performance.now() - sent) * 1000)));
          tokens.push(answer.refresh_token);
        } else {
          failed += 1; // its session cannot go on
        }
      }
    };
    await Promise.all(Array.from({ length: connections }, refreshUntilEnd));
    return loadResult(times, failed, performance.now() - began);
  };
});
