/** A load generator: first checks of API keys. Each key is sent once. */
import { Pool } from "undici";
import { keyOf } from "../apiKeys.ts";
import { repeat, serveLoad } from "./protocol.ts";

serveLoad(({ url, connections, apiKeys = 0 }) => {
  const pool = new Pool(url, { connections });
  let next = 0;

  const check = async () => {
    if (next === apiKeys) throw new Error("Every key has been used.");
    const authorization = `Bearer ${keyOf(next++)}`;
    const { statusCode, body } = await pool.request({
      method: "GET",
      path: "/api/resource",
      headers: { authorization },
    });
    await body.dump();
    return statusCode === 200;
  };
  return (seconds) => repeat(connections, seconds, check);
});
