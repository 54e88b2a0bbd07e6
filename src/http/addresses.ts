/** Whether the service can listen where its settings say, found out before a database is made or changed. */
import { createServer } from "node:net";
import { type Config, cannotListen } from "../config/config.ts";

/** @throws {StartError} where an address is taken, forbidden or unknown */
export async function checkAddresses({ host, port, metricsHost, metricsPort }: Config): Promise<void> {
  // Both at once: they could be the same.
  const releases = [await reserve(host, port).catch(cannotListen("", host, port))];
  try {
    if (metricsPort === undefined) return;
    releases.push(await reserve(metricsHost, metricsPort).catch(cannotListen("METRICS_", metricsHost, metricsPort)));
  } finally {
    for (const release of releases) await release();
  }
}

/** Listens and accepts nothing. @returns what ends that */
function reserve(host: string, port: number): Promise<() => Promise<void>> {
  const server = createServer({ pauseOnConnect: true }, (socket) => socket.destroy());
  const release = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen({ port, host, exclusive: true }, () => resolve(release));
  });
}
