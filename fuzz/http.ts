/** Sends requests exactly as given, over persistent connections. */
import { type Agent, request as send } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { ReceivedResponse } from "../src/openapi/responseValidator.ts";
import { decoded } from "../test/support/client.ts";

export type Request = {
  method: string;
  target: string;
  /** The values are bytes, written as Latin-1. A name may occur twice. */
  headers: [string, string][];
  body: Buffer | undefined;
};

/** How much the service reads of the request line and the headers. */
const maxHeadBytes = 16_384;

/**
 * The method and target by which a response is validated. The parser rejects a head that is too large before the operation is
 * known: its response is that of any operation with problem details. A target with a fragment is that of no operation (RFC 9112,
 * section 3.2), so that its response is not a page.
 */
export function validatedAs({ method, target, headers }: Request, { status }: { status: number }): [string, string] {
  const fields = headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  const isTooLarge = method.length + target.length + fields > maxHeadBytes - 512; // other headers are added
  if (status === 400 && isTooLarge) return [method === "HEAD" ? "HEAD" : "GET", "/api/resource"];
  return status === 400 && target.includes("#") ? [method, `*${target}`] : [method, target];
}

/** Retries of a request that an overloaded service rejected. */
const retries = { maximum: 20, delayMs: 200 };

/**
 * Sends a request, and retries if the service is overloaded, which on a busy machine is no fault.
 * @throws {Error} if there is no response, which is a finding as well
 */
export async function sendRequest(url: URL, agent: Agent, request: Request): Promise<ReceivedResponse> {
  for (let tries = 1; ; tries += 1) {
    const answer = await sendOnce(url, agent, request);
    // A page does not tell an overload from another reason, which lasts longer than all retries.
    const isOverloaded = answer.status === 503 && /\/problems\/overloaded|^<!doctype html>/.test(answer.text);
    if (!isOverloaded || tries > retries.maximum) return answer;
    await sleep(retries.delayMs);
  }
}

function sendOnce(url: URL, agent: Agent, { method, target, headers, body }: Request): Promise<ReceivedResponse> {
  return new Promise((resolve, reject) => {
    const outgoing = send(
      {
        hostname: url.hostname,
        port: url.port,
        method,
        path: target,
        agent,
        timeout: 15_000,
        // Node.js adds no headers to a list.
        headers: [["Host", url.host], ["Content-Length", String(body?.length ?? 0)], ...headers].flat(),
      },
      (incoming) => {
        buffer(incoming).then((bytes) => {
          const { statusCode: status = 0, headersDistinct, headers } = incoming;
          const text = decoded(bytes, headers["content-encoding"]).toString();
          resolve({ status, headers: headersDistinct as Record<string, string[]>, text });
        }, reject);
      },
    );
    outgoing.once("timeout", () => outgoing.destroy(new Error("no response in 15 s")));
    outgoing.once("error", reject).end(body);
  });
}
