/** How many connections may be open: in total, and from one network. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import proxyAddr from "proxy-addr";
import { networksOf } from "../networks.ts";
import { limitOfWidth } from "../throttling/limits.ts";

export type ConnectionLimit = "total" | "network";

export type ConnectionLimits = {
  total: number;
  /** From one IPv4 address or one IPv6 /64; a /56 may hold half as many again, a /48 twice as many. Not limited without it. */
  perNetwork?: number;
  /** Connections of these addresses count towards the total alone. */
  isTrustedProxy?: (address: string) => boolean;
};

/** @returns how many of all connections one network may hold, unless the settings say it: a quarter, but enough for a browser or two */
export const shareOfOneNetwork = (total: number): number => Math.max(Math.ceil(total / 4), 16);

/** Networks that one line of the log names. */
const mostNetworksNamed = 5;

/**
 * Closes connections beyond the limits as they come, and logs them together, once a second. Not by `server.maxConnections`:
 * node:cluster would hand such a connection from one full worker to the next, for ever.
 * @param onRefused is called for each
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
    total: reportTogether((refusals) =>
      log?.warn({ ...refusals, maxConnections: total }, "connections refused: as many as MAX_CONNECTIONS are open"),
    ),
    network: reportTogether((refusals) =>
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
      networks.some((network, width) => (openByNetwork.get(network) ?? 0) >= limitOfWidth(perNetwork, width));
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

/** Counts what happens within a second of the first, and reports it then. */
function reportTogether(report: (refusals: { refused: number; networks: string[] }) => void) {
  let refused = 0;
  const networks = new Set<string>();
  return (network: string): void => {
    refused += 1;
    if (networks.size < mostNetworksNamed) networks.add(network);
    if (refused > 1) return;
    setTimeout(() => {
      report({ refused, networks: [...networks] });
      refused = 0;
      networks.clear();
    }, 1_000).unref();
  };
}

/**
 * @param trustProxy as the setting has it. With a number of proxies the nearest one is trusted, whatever its address.
 * @returns whether a connection from an address is that of a trusted proxy, as Express decides it
 */
export function trustedProxy(trustProxy: number | string[] | undefined): (address: string) => boolean {
  if (trustProxy === undefined) return () => false;
  if (typeof trustProxy === "number") return () => trustProxy > 0;
  const isTrusted = proxyAddr.compile(trustProxy);
  return (address) => isTrusted(address, 0);
}
