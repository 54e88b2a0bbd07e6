/**
 * Closes a port without a reset connection. The kernel resets the connections that wait for their acceptance when a port closes, and
 * a proxy that has sent a POST on one does not repeat it. It repeats a POST whose connection was refused or not established.
 */
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { nextTick } from "node:process";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

/** The maximum time for which connections are accepted. */
const timeoutMs = 2_000;
/** Between attempts, connections are accepted as usual. A client that found the queue full repeats what it has sent after 200 ms. */
const pauseMs = 20;
/** Node's default. */
const usualBacklog = 511;

/** Members of Node's handles that are not documented. Without them, the next connections can be reset. */
type ListenHandle = { listen?(backlog: number): number };
type SocketHandle = { getpeername?(result: object): number };
const handleOf = (owner: Server | Socket): unknown => Reflect.get(owner, "_handle");

/**
 * Accepts connections until none waits, and then fills the listen queue with a connection from this process. The caller must close
 * the server before it awaits anything.
 *
 * Linux ignores attempts to connect while the queue is full, and clients repeat them after a second. It also ignores the end of a
 * handshake that began before; the client, which sees its connection as established, would be reset. So the port stays open as long
 * as Linux lists such a connection. Other systems do not tell, and may reset a few.
 */
export async function emptyListenQueue(server: Server): Promise<void> {
  const { address, port } = server.address() as AddressInfo;
  const limitQueue = (backlog: number) => (handleOf(server) as ListenHandle | null)?.listen?.(backlog);
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(pauseMs)) {
    await nextTurn(); // accepts what has arrived
    const own = connect(port, address).on("error", () => {});
    await new Promise<void>((resolve) => nextTick(resolve)); // by now, the kernel has connected it
    limitQueue(0);
    const isConnected = (handleOf(own) as SocketHandle | null)?.getpeername?.({}) === 0;
    const isAlone = isConnected && !isAnotherPending(server, own.localPort);
    own.destroy();
    if (isAlone) return;
    limitQueue(usualBacklog);
  }
}

/** Whether Linux lists a connection to this port that is not established or not accepted, other than the one from `ownPort`. */
function isAnotherPending(server: Server, ownPort: number | undefined): boolean {
  const { port, family } = server.address() as AddressInfo;
  let table: string;
  try {
    table = readFileSync(family === "IPv6" ? "/proc/net/tcp6" : "/proc/net/tcp", "latin1");
  } catch {
    return false;
  }
  return table.split("\n").some((line) => {
    const [, local = "", remote = "", state, , , , , , inode] = line.trim().split(/ +/);
    const isPending = state === tcpStates.synReceived || (state === tcpStates.established && inode === "0");
    return isPending && portOf(local) === port && portOf(remote) !== ownPort;
  });
}

/** States in /proc/net/tcp, as in include/net/tcp_states.h of Linux. An established connection without inode has not been accepted. */
const tcpStates = { established: "01", synReceived: "03" };

const portOf = (address: string): number => Number.parseInt(address.slice(address.lastIndexOf(":") + 1), 16);
