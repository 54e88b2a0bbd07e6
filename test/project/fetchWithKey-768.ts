import { readFile } from "node:fs/promises";

/** Sends a request with the API key. */
export async function fetchWithKey(url: string, init: RequestInit = {}): Promise<Response> {
  const key = (await readFile("/tmp/latchkey-test-J8rbPl/api-key", "utf8")).trim();
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${key}`);
  return fetch(url, { ...init, headers, redirect: "error", signal: AbortSignal.timeout(10_000) });
}
