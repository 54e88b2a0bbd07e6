/** Sends a request before the service listens, because express-openapi-validator compiles the contract at the first request. */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import type { Express } from "express";
import type { Logger } from "pino";
import { listen } from "./http/server.ts";

/**
 * Requests the page of a problem, on a private port.
 * @param expectedStatus of the response
 * @throws {Error} if the contract cannot be served
 */
export async function warmUp(app: Express, log: Logger, expectedStatus: number): Promise<void> {
  const server = await listen(app, { host: "127.0.0.1", port: 0, isPrivate: true }, log);
  try {
    const request = get(`${server.url}/problems/not-found`, { agent: false });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.resume();
    if (response.statusCode !== expectedStatus) throw new Error("The contract cannot be served; the log says why.");
  } finally {
    await server.close();
  }
}
