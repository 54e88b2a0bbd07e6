/**
 * A network that can be cut: TCP relays in front of every port of the cluster. While a node is cut off, it sends and
 * receives nothing, and no connection is closed, as if packets were dropped.
 */
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterTest } from "../afterTest.ts";

type Link = {
  /** The node that accepts the connection, if it is one. */
  to: string | undefined;
  /** The node that opened the connection, if it is one. Determined when a node is cut off. */
  from?: string | undefined;
  client: Socket;
  server: Socket;
  relayPort: number;
  /** Is run when the link works again. */
  deferred: (() => void)[];
  isCut: boolean;
};

export type Network = {
  /** Relays connections to a port of a node. Returns the port of the relay. */
  relay(port: number, node?: string): Promise<number>;
  cut(node: string): void;
  heal(): void;
};

/** @param processesOf returns the process ids of a node, whose outgoing connections are cut as well */
export function createNetwork(nodes: string[], processesOf: (node: string) => number[]): Network {
  const links = new Set<Link>();
  let cutOff: string | undefined;

  const setCut = (link: Link): void => {
    const isCut = cutOff !== undefined && (link.to === cutOff || link.from === cutOff);
    if (isCut === link.isCut) return;
    link.isCut = isCut;
    if (isCut) {
      link.client.pause();
      link.server.pause();
      return;
    }
    for (const pass of link.deferred.splice(0)) pass();
    link.client.resume();
    link.server.resume();
  };

  const pass = (link: Link, source: Socket, target: Socket): void => {
    const whenConnected = (action: () => void) => (link.isCut ? void link.deferred.push(action) : action());
    source.on("data", (data) => whenConnected(() => void target.write(data)));
    source.on("end", () => whenConnected(() => void target.end()));
    source.on("error", () => {});
    source.on("close", () => {
      whenConnected(() => {
        target.destroy();
        links.delete(link);
      });
    });
  };

  return {
    async relay(port, to) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
        const { port: relayPort } = server.address() as AddressInfo;
        const upstream = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
        const link: Link = { to, client, server: upstream, relayPort, deferred: [], isCut: false };
        links.add(link);
        pass(link, client, upstream);
        pass(link, upstream, client);
        if (cutOff !== undefined) {
          if (to !== cutOff) link.from = originOf(link, nodes, processesOf);
          setCut(link);
        }
        if (!link.isCut) client.resume();
      });
      await once(server.listen(0, "127.0.0.1"), "listening");
      afterTest(() => {
        server.close();
        for (const { client, server } of links) for (const socket of [client, server]) socket.destroy();
      });
      return (server.address() as AddressInfo).port;
    },
    cut(node) {
      cutOff = node;
      for (const link of links) {
        // Most connections lead to the primary. Determining the origin blocks this process, so it is avoided.
        if (link.to !== node) link.from ??= originOf(link, nodes, processesOf);
        setCut(link);
      }
    },
    heal() {
      cutOff = undefined;
      for (const link of links) setCut(link);
    },
  };
}

/** Returns the node whose process opened the connection. */
function originOf(
  { client: { remotePort = 0 }, relayPort }: Link,
  nodes: string[],
  processesOf: (node: string) => number[],
): string | undefined {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
  // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
  const entry = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find(
      ([, local = "", remote = ""]) => local.endsWith(`:${hex(remotePort)}`) && remote.endsWith(`:${hex(relayPort)}`),
    );
  const socket = `socket:[${entry?.[9]}]`;
  return nodes.find((node) => processesOf(node).some((pid) => filesOf(pid).includes(socket)));
}

function filesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return []; // closed meanwhile
      }
    });
  } catch {
    return []; // the process has ended
  }
}
