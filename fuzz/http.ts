/** Sends a request byte by byte as it is given, over connections that are kept, and reads the answer. */
import { type Agent, request as send } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer } from "../src/openapi/responseValidator.ts";
import { decoded } from "../test/support/client.ts";

export type Request = {
  method: string;
  target: string;
  /** Their values are bytes, written as Latin-1. A name may be there twice. */
  headers: [string, string][];
  body: Buffer | undefined;
};

/** How often and after which time a request is sent again that the service had no time for. */
const retries = { most: 20, afterMs: 200 };

/**
 * Sends a request, again where the service has too much to do: on a busy machine that is no fault.
 * @throws where there is no answer, which is a finding too
 */
export async function sendRequest(url: URL, agent: Agent, request: Request): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await exchangeOnce(url, agent, request);
    const isOverloaded = answer.status === 503 && answer.text.includes("/problems/overloaded");
    if (!isOverloaded || tries > retries.most) return answer;
    await sleep(retries.afterMs);
  }
}

function exchangeOnce(url: URL, agent: Agent, { method, target, headers, body }: Request): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = send(
      {
        hostname: url.hostname,
        port: url.port,
        method,
        path: target,
        agent,
        timeout: 15_000,
        // Given as a list, Node adds none of its own.
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
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer in 15 s")));
    outgoing.once("error", reject).end(body);
  });
}
