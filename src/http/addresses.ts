/** Checks that the service can listen on its addresses, before it creates or changes a database. */
import { createServer } from "node:net";
import type { Config } from "../config/config.ts";
import { StartError } from "../errors.ts";

/** @throws {StartError} if an address is in use, forbidden or unknown */
export async function checkAddresses({ host, port, metricsHost, metricsPort }: Config): Promise<void> {
  // Both are reserved at the same time, because they could be the same.
  const releases = [await reserve(host, port).catch(cannotListen("", host, port))];
  try {
    if (metricsPort === undefined) return;
    releases.push(await reserve(metricsHost, metricsPort).catch(cannotListen("METRICS_", metricsHost, metricsPort)));
  } finally {
    for (const release of releases) await release();
  }
}

/** Listens without accepting connections. @returns a function that stops listening */
function reserve(host: string, port: number): Promise<() => Promise<void>> {
  const server = createServer({ pauseOnConnect: true }, (socket) => socket.destroy());
  const release = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen({ port, host, exclusive: true }, () => resolve(release));
  });
}

/**
 * Explains why the system refuses to listen on an address.
 * @param prefix of the two settings that name the address
 * @returns a function that throws a StartError with the system's error, such as EADDRINUSE
 */
export const cannotListen =
  (prefix: "" | "METRICS_", host: string, port: number) =>
  (cause: Error): never => {
    const address = `${prefix}HOST ${host}, ${prefix}PORT ${port}`;
    throw new StartError(`Cannot listen on ${address}: ${cause.message}. Set another one.`, { cause });
  };
