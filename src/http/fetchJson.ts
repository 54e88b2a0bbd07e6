/**
 * Fetches JSON from a URL that a client has chosen. The request must not reach an internal service (server-side request forgery, SSRF):
 * it goes to public addresses only, and to the address that was checked, so that the name cannot resolve to another one after the
 * check (DNS rebinding).
 */
import { Resolver } from "node:dns/promises";
import { request as sendRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import pLimit from "p-limit";
import { networkOf } from "../networks.ts";
import { Problem } from "../problems/problems.ts";
import { isPublicAddress } from "./publicAddress.ts";

export type FetchedJson = {
  body: unknown;
  /** How long the response may be kept (RFC 9111): `undefined` if it does not say. */
  maxAgeSeconds: number | undefined;
};

/** Why a document could not be used. The message is for the operator. */
export class FetchError extends Error {}

/** @throws {FetchError | Problem} `overloaded` if a limit of this process is reached: then nothing was found out about the URL */
export type FetchJson = (url: string, limits: { maxBytes: number; timeoutMs: number }) => Promise<FetchedJson>;

const maxConcurrent = 16;
const maxWaiting = 32;
/**
 * Requests in a minute to an address (for IPv6, to a /64), however many names and URLs lead to it. So clients cannot make the service
 * flood a host.
 */
const maxToNetwork = 30;
/** To all networks together, which limits how many are counted. */
const maxInMinute = 6_000;
const minuteMs = 60_000;

type Parts = {
  resolve?: (host: string) => Promise<readonly string[]>;
  isAllowed?: (address: string) => boolean;
  /** A certificate that is trusted. By default those of Node. For tests. */
  ca?: string;
  /** Milliseconds of a clock that does not jump. */
  clock?: () => number;
};

/**
 * Asks name servers directly. The system's resolver (getaddrinfo) uses the thread pool that hashes passwords, and a slow name server
 * would block its threads.
 * @param servers by default those of the system. For tests
 */
export async function resolveName(host: string, servers?: string[]): Promise<string[]> {
  const resolver = new Resolver({ timeout: 1_000, tries: 2 });
  if (servers) resolver.setServers(servers);
  const results = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  return results.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
}

/** @param parts replaces what tests cannot have: public addresses */
export function createFetchJson({
  resolve = (host) => resolveName(host),
  isAllowed = isPublicAddress,
  ca,
  clock = () => performance.now(),
}: Parts = {}): FetchJson {
  const limit = pLimit(maxConcurrent);
  const countRequest = createRequestCount(clock);

  /** @returns an address of the host. If one of several is not public, none is used. @throws {FetchError} */
  async function addressOf(host: string): Promise<string> {
    const literal = host.replace(/^\[(.*)\]$/, "$1");
    const addresses = isIP(literal) ? [literal] : await resolve(host);
    const [address] = addresses;
    if (address === undefined || !addresses.every(isAllowed)) throw new FetchError("the host has no public address");
    return address;
  }

  const fetch: FetchJson = async (text, { maxBytes, timeoutMs }) => {
    const url = new URL(text);
    if (url.protocol !== "https:") throw new FetchError("it is not an https URL");
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const address = await before(signal, addressOf(url.hostname));
      countRequest(address);
      return await get(url, { address, maxBytes, signal, ca });
    } catch (cause) {
      if (cause instanceof FetchError || cause instanceof Problem) throw cause;
      throw new FetchError(signal.aborted ? "it took too long" : "it could not be fetched", { cause });
    }
  };

  return async (text, limits) => {
    if (limit.activeCount + limit.pendingCount >= maxConcurrent + maxWaiting) throw new Problem("overloaded");
    return limit(fetch, text, limits);
  };
}

/** @returns a function that counts a request to an address, and throws `overloaded` if there were too many in this minute */
function createRequestCount(clock: () => number): (address: string) => void {
  let counts = new Map<string, number>();
  let total = 0;
  let startedAtMs = clock();
  return (address) => {
    if (clock() - startedAtMs >= minuteMs) {
      [counts, total, startedAtMs] = [new Map(), 0, clock()];
    }
    const network = networkOf(address);
    const count = (counts.get(network) ?? 0) + 1;
    if (count > maxToNetwork || total >= maxInMinute) throw new Problem("overloaded");
    counts.set(network, count);
    total += 1;
  };
}

/** Stops waiting when the signal is aborted, for example if a name server does not respond. */
function before<T>(signal: AbortSignal, wait: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    wait.then(resolve, reject);
  });
}

type Get = { address: string; maxBytes: number; signal: AbortSignal; ca: string | undefined };

function get(url: URL, { address, maxBytes, signal, ca }: Get): Promise<FetchedJson> {
  const family = isIP(address);
  const lookup: LookupFunction = (_host, options, callback) =>
    options.all ? callback(null, [{ address, family }]) : callback(null, address, family);
  const headers = { accept: "application/json", "accept-encoding": "identity", "user-agent": "latchkey" };
  return new Promise((resolve, reject) => {
    const sent = sendRequest(
      url,
      { agent: false, headers, lookup, signal, ...(ca !== undefined && { ca }) },
      (response) => {
        const { statusCode, headers } = response;
        const type = headers["content-type"] ?? "";
        const refuse = (why: string) => {
          sent.destroy();
          reject(new FetchError(why));
        };
        // Redirects are not followed: each could lead to another host.
        if (statusCode !== 200) return refuse(`its status is ${statusCode}`);
        if (!/^application\/([\w.-]+\+)?json *(;|$)/i.test(type)) return refuse("it is not application/json");
        if (headers["content-encoding"]) return refuse("it is compressed");
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          chunks.push(chunk);
          length += chunk.length;
          if (length > maxBytes) refuse(`it is larger than ${maxBytes} bytes`);
        });
        response.on("error", reject);
        response.on("end", () => {
          try {
            const body: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
            resolve({ body, maxAgeSeconds: maxAgeOf(headers["cache-control"]) });
          } catch {
            reject(new FetchError("it is not JSON"));
          }
        });
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

function maxAgeOf(cacheControl = ""): number | undefined {
  if (/(^|,)\s*(no-store|no-cache)\s*(,|$)/i.test(cacheControl)) return 0;
  const [, seconds] = /(?:^|,)\s*max-age="?(\d{1,9})"?\s*(?:,|$)/i.exec(cacheControl) ?? [];
  return seconds === undefined ? undefined : Number(seconds);
}
