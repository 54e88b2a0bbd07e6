/** Limits on open connections, in total and from one network. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import proxyAddr from "proxy-addr";
import { networksOf } from "../networks.ts";
import { limitOfNetwork } from "../throttling/limits.ts";

export type ConnectionLimit = "total" | "network";

export type ConnectionLimits = {
  total: number;
  /** For an IPv4 address or an IPv6 /64. A /56 may open 1.5 times as many, a /48 twice as many. Unlimited by default. */
  perNetwork?: number;
  /** Connections from trusted proxies count only towards the total. */
  isTrustedProxy?: (address: string) => boolean;
};

/** The default limit for one network: a quarter of the total, and at least 16, which is enough for two browsers. */
export const shareOfOneNetwork = (total: number): number => Math.max(Math.ceil(total / 4), 16);

/** Networks in one log line. */
const maxNetworksLogged = 5;

/**
 * Closes new connections beyond the limits, and logs them at most once a second. `server.maxConnections` is not used, because
 * node:cluster would pass a connection between full workers forever.
 * @param onRefused is called for each closed connection
 */
export function limitConnections(
  server: Server,
  { total, perNetwork = total, isTrustedProxy = () => false }: ConnectionLimits,
  log?: Logger,
  onRefused?: (limit: ConnectionLimit) => void,
): void {
  let open = 0;
  const openByNetwork = new Map<string, number>();
  const report = {
    total: batchReports((refusals) =>
      log?.warn({ ...refusals, maxConnections: total }, "connections refused: as many as MAX_CONNECTIONS are open"),
    ),
    network: batchReports((refusals) =>
      log?.warn(
        { ...refusals, maxConnectionsPerNetwork: perNetwork },
        "connections refused: as many as MAX_CONNECTIONS_PER_NETWORK are open from one network",
      ),
    ),
  };
  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress;
    const networks = networksOf(address);
    const isProxy = address !== undefined && isTrustedProxy(address);
    const isShareUsed =
      !isProxy &&
      networks.some((network, width) => (openByNetwork.get(network) ?? 0) >= limitOfNetwork(perNetwork, width));
    const limit = open >= total ? "total" : isShareUsed ? "network" : undefined;
    if (limit) {
      socket.destroy();
      onRefused?.(limit);
      report[limit](networks[0]);
      return;
    }
    open += 1;
    for (const network of networks) openByNetwork.set(network, (openByNetwork.get(network) ?? 0) + 1);
    socket.once("close", () => {
      open -= 1;
      for (const network of networks) {
        const left = (openByNetwork.get(network) ?? 1) - 1;
        if (left > 0) openByNetwork.set(network, left);
        else openByNetwork.delete(network);
      }
    });
  });
}

/** Reports the refusals of a second together. */
function batchReports(report: (refusals: { refused: number; networks: string[] }) => void) {
  let refused = 0;
  const networks = new Set<string>();
  return (network: string): void => {
    refused += 1;
    if (networks.size < maxNetworksLogged) networks.add(network);
    if (refused > 1) return;
    setTimeout(() => {
      report({ refused, networks: [...networks] });
      refused = 0;
      networks.clear();
    }, 1_000).unref();
  };
}

/**
 * @param trustProxy the setting `TRUST_PROXY`. A number of proxies means that every peer is trusted as the nearest proxy
 * @returns whether the peer of a connection is a trusted proxy, by the rules of Express
 */
export function trustedProxy(trustProxy: number | string[] | undefined): (address: string) => boolean {
  if (trustProxy === undefined) return () => false;
  if (typeof trustProxy === "number") return () => trustProxy > 0;
  const isTrusted = proxyAddr.compile(trustProxy);
  return (address) => isTrusted(address, 0);
}
