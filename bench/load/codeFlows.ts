/** A load generator: authorization code flows. Each asks for a code with a browser's cookies, and redeems it as the client. */
import { Pool } from "undici";
import { repeat, serveLoad } from "./protocol.ts";

serveLoad(({ url, connections, codeFlows }) => {
  if (!codeFlows) throw new Error("There are no flows.");
  const { browsers, redemption } = codeFlows;
  const pool = new Pool(url, { connections });
  let next = 0;

  const flow = async () => {
    const { path, cookie } = browsers[next++ % browsers.length] ?? { path: "", cookie: "" };
    const authorization = await pool.request({ method: "GET", path, headers: { cookie } });
    await authorization.body.dump();
    const code = new URL(String(authorization.headers["location"]), url).searchParams.get("code");
    if (!code) return false; // the response asks the user to sign in or to allow it
    const { statusCode, body } = await pool.request({ ...redemption, body: `${redemption.body}${code}` });
    const tokens = (await body.json()) as { id_token?: string };
    return statusCode === 200 && tokens.id_token !== undefined;
  };
  return (seconds) => repeat(connections, seconds, flow);
});
