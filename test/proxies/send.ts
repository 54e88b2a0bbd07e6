/** Requests to a proxy, as they are written. */
import { type OutgoingHttpHeaders, request } from "node:http";
import { text } from "node:stream/consumers";
import type { Passed } from "../support/protectedApi.ts";

export type Answer = {
  status: number;
  headers: Record<string, string[]>;
  text: string;
  /** The request that the application got, if it responded. */
  passed: Passed | undefined;
};

export function sendTo(
  port: number,
  method: string,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ port, host: "127.0.0.1", method, path, headers, agent: false }, (response) => {
      text(response).then((text) => {
        const isApplication = response.headers["content-type"] === "application/json";
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headersDistinct as Answer["headers"],
          text,
          passed: isApplication ? JSON.parse(text || "{}") : undefined,
        });
      }, reject);
    })
      .once("error", reject)
      .end(body);
  });
}
