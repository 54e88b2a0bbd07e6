import { readFile } from "node:fs/promises";
import { createLatchkeyClient, unwrap } from "@latchkey/client";

const latchkey = createLatchkeyClient({ baseUrl: "http://127.0.0.1:35275" });
const wanted = { audience: "https://orders.example/v1", scope: "orders:read" };

/** Returns a token for the API, and signs in again if the session has ended. */
export async function orderToken(): Promise<string> {
  const token = await latchkey.accessToken(wanted);
  if (token !== undefined) return token;
  const password = (await readFile("/tmp/latchkey-test-J8rbPl/password", "utf8")).trim();
  unwrap(await latchkey.signIn("nightly-report", password));
  return (await latchkey.accessToken(wanted)) ?? orderToken();
}
