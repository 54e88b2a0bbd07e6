/** Load by requests of which each needs the answer to another: a refresh uses the newest token of its session. */
import { createHistogram } from "node:perf_hooks";
import { Pool } from "undici";
import { outcomeOf, serveRounds } from "./load.ts";

serveRounds(({ url, connections, refreshTokens = [] }) => {
  const pool = new Pool(url, { connections });
  // The session that rested longest is next.
  const tokens = [...refreshTokens];

  return async (seconds) => {
    const times = createHistogram();
    const began = performance.now();
    let failed = 0;
    const refreshUntilTheEnd = async () => {
      while (performance.now() - began < seconds * 1000) {
        const token = tokens.shift();
        if (token === undefined) throw new Error("No session is left.");
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
          failed += 1; // its session is lost to us
        }
      }
    };
    await Promise.all(Array.from({ length: connections }, refreshUntilTheEnd));
    return outcomeOf(times, failed, performance.now() - began);
  };
});
