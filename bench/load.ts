/** Load, from a process of its own. */
import { fileURLToPath } from "node:url";
import { runToEnd } from "./processes.ts";

/** A request that can be sent again as it is. */
export type Request = { path: string; method?: string; headers?: Record<string, string>; body?: string };

/** Requests that follow from earlier answers, or are never the same: see lanes.js. */
export type Chain = {
  chain: "refresh" | "register";
  path: string;
  body?: string;
  authorization?: string;
  headers?: Record<string, string>;
};

export type Measured = {
  perSecond: number;
  requests: number;
  /** Milliseconds; not of what only counts. */
  p50?: number;
  p99?: number;
};

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const graceMs = 20_000;

/**
 * Sends as much as is answered over so many connections, for so many seconds.
 * @throws where an answer is not a success
 */
export async function measure(
  url: string,
  load: Request | Chain,
  connections: number,
  seconds: number,
): Promise<Measured> {
  const measured =
    "chain" in load ? await lanes(url, load, connections, seconds) : await cannon(url, load, connections, seconds);
  if (measured.requests === 0) throw new Error(`${url}${load.path} answered nothing.`);
  return measured;
}

async function cannon(
  url: string,
  { path, method = "GET", headers = {}, body }: Request,
  connections: number,
  seconds: number,
) {
  const args = [
    ...[
      "--connections",
      String(connections),
      "--duration",
      String(seconds),
      "--json",
      "--no-progress",
      "--method",
      method,
    ],
    ...Object.entries(headers).flatMap(([name, value]) => ["--headers", `${name}: ${value}`]),
    ...(body === undefined ? [] : ["--body", body]),
  ];
  const printed = await runToEnd(
    [process.execPath, file("node_modules/autocannon/autocannon.js"), ...args, url + path],
    seconds * 1000 + graceMs,
  );
  const { requests, latency, non2xx, errors } = JSON.parse(printed);
  if (non2xx > 0 || errors > 0) throw new Error(`${url}${path}: ${non2xx} answers were no success, ${errors} failed.`);
  return { perSecond: requests.average, requests: requests.total, p50: latency.p50, p99: latency.p99 };
}

async function lanes(url: string, chain: Chain, connections: number, seconds: number): Promise<Measured> {
  const plan = JSON.stringify({ url, ...chain, connections, seconds });
  return JSON.parse(await runToEnd([process.execPath, file("lanes.js"), plan], seconds * 1000 + graceMs));
}

/** Verifications of passwords with nothing around them. */
export const bareArgon2 = async (node: string, seconds: number): Promise<Measured> =>
  JSON.parse(await runToEnd([node, file("argon2-loop.js"), String(seconds)], seconds * 1000 + graceMs));
