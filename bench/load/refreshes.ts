/** A load generator: refreshes. Each uses the refresh token that the previous one of its session returned. */
import { Pool } from "undici";
import { repeat, serveLoad } from "./protocol.ts";

serveLoad(({ url, connections, refreshTokens = [] }) => {
  const pool = new Pool(url, { connections });
  // A queue: the least recently used session is next.
  const tokens = [...refreshTokens];

  const refresh = async () => {
    const token = tokens.shift();
    if (token === undefined) throw new Error("All sessions failed.");
    const { statusCode, body } = await pool.request({
      method: "POST",
      path: "/api/token",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ refresh_token: token }),
    });
    const answer = (await body.json()) as { refresh_token: string };
    if (statusCode !== 200) return false; // its session cannot go on
    tokens.push(answer.refresh_token);
    return true;
  };
  return (seconds) => repeat(connections, seconds, refresh);
});
