/** Sends a request byte by byte as it is given, over connections that are kept, and reads the answer. */
import { type Agent, request as send } from "node:http";
import { buffer } from "node:stream/consumers";
import type { Answer } from "../../src/contract/conformance.ts";
import { decoded } from "../support/client.ts";

export type Request = {
  method: string;
  target: string;
  /** Their values are bytes, written as Latin-1. A name may be there twice. */
  headers: [string, string][];
  body: Buffer | undefined;
};

/** @throws where there is no answer, which is a finding too */
export function exchange(url: URL, agent: Agent, { method, target, headers, body }: Request): Promise<Answer> {
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
