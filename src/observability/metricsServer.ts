/** Serves the metrics of this process, or of all workers, to Prometheus. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { Registry } from "prom-client";
import { limitConnections } from "../http/connectionLimits.ts";
import { trackConnections } from "../http/connections.ts";
import { refusal } from "../http/refusal.ts";
import { serveRequests } from "../http/requests.ts";

export type MetricsServer = { url: string; close(): Promise<void> };

/** Enough for several Prometheus servers and a browser. */
const maxConnections = 64;

/**
 * Serves the metrics at `/metrics`, and nothing else.
 * @returns its URL with the actual port
 */
export async function serveMetrics({
  host,
  port,
  log,
  read,
}: {
  host: string;
  port: number;
  log: Logger;
  read: () => Promise<string>;
}): Promise<MetricsServer> {
  const server = createServer({
    requestTimeout: 5_000,
    headersTimeout: 3_000,
    connectionsCheckingInterval: 500,
    keepAliveTimeout: 65_000,
  });
  server.timeout = 30_000;
  limitConnections(server, { total: maxConnections });
  serveRequests(server, trackConnections(server, log), refusal(log), (request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") return void response.writeHead(404).end();
    const headers = { "Content-Type": Registry.PROMETHEUS_CONTENT_TYPE, "Cache-Control": "no-store" };
    read().then(
      (text) => response.writeHead(200, headers).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
  const { address, family, port: picked } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${picked}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
