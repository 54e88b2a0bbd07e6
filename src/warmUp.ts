/** The first request to the app, before it listens: express-openapi-validator compiles the contract only then. */
import type { Express } from "express";
import type { Logger } from "pino";
import { listen } from "./http/server.ts";

/**
 * Requests the page of a problem, on a private port.
 * @param expected the status of the answer
 * @throws where the contract cannot be served
 */
export async function rehearse(app: Express, log: Logger, expected: number): Promise<void> {
  const server = await listen(app, { host: "127.0.0.1", port: 0, isPrivate: true }, log);
  try {
    const { status } = await fetch(`${server.url}/problems/not-found`);
    if (status !== expected) throw new Error("The contract cannot be served; the log says why.");
  } finally {
    await server.close();
  }
}
