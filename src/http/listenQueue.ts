/**
 * Closes a port with almost no reset connection. The kernel resets the connections that wait for their acceptance when a port closes,
 * and a proxy that has sent a POST on one does not repeat it. It repeats a POST whose connection was refused or not established.
 */
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { nextTick } from "node:process";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

/** Takes one to four seconds, if a connection is always pending. */
const maxAttempts = 50;
/** Between attempts, connections are accepted as usual. A client that found the queue full repeats what it has sent after 200 ms. */
const pauseMs = 20;
/** After so many attempts, the port is closed although this process could not fill it: it may have no route to its own address. */
const maxFillAttempts = 5;
/** Node's default. */
const usualBacklog = 511;

/** Members of Node's handles that are not documented. Without them, the next connections can be reset. */
type ListenHandle = { listen?(backlog: number): number };
type SocketHandle = { getpeername?(result: object): number };
const handleOf = (owner: Server | Socket): unknown => Reflect.get(owner, "_handle");

/**
 * Accepts connections until none is pending, and then fills the listen queue with a connection from this process. The caller must
 * close the server before it awaits anything.
 *
 * Linux ignores attempts to connect while the queue is full, and clients repeat them after a second. It also ignores the end of a
 * handshake that began before. The client of such a handshake believes that it is connected, and would be reset. So the port stays
 * open as long as Linux lists a pending connection, for at most `maxAttempts`. Other systems do not tell, and reset some.
 */
export async function emptyListenQueue(server: Server): Promise<void> {
  const { address, port } = server.address() as AddressInfo;
  const limitQueue = (backlog: number) => (handleOf(server) as ListenHandle | null)?.listen?.(backlog);
  for (let attempt = 1; ; attempt += 1) {
    await nextTurn(); // accepts what has arrived
    const own = connect(port, address).on("error", () => {});
    await new Promise<void>((resolve) => nextTick(resolve)); // by now, the kernel has connected it
    limitQueue(0);
    const isFilled = (handleOf(own) as SocketHandle | null)?.getpeername?.({}) === 0 || attempt >= maxFillAttempts;
    const isAlone = isFilled && !isAnotherPending(server, own.localPort);
    own.destroy();
    if (isAlone || attempt === maxAttempts) return;
    limitQueue(usualBacklog);
    await sleep(pauseMs);
  }
}

/** Whether Linux lists a connection to this port that is not established or not accepted, other than the one from `ownPort`. */
function isAnotherPending(server: Server, ownPort: number | undefined): boolean {
  const { port, family } = server.address() as AddressInfo;
  let table: string;
  try {
    table = readFileSync(family === "IPv6" ? "/proc/net/tcp6" : "/proc/net/tcp", "utf8");
  } catch {
    return false;
  }
  const portText = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  return table.split("\n").some((line) => {
    if (!line.includes(portText)) return false;
    const [, local, remote = "", state = "", , , retransmits, , , inode] = line.trim().split(/ +/);
    // A peer that does not answer within a second does not exist, or is not there any more.
    const isHandshake = state === tcpStates.synReceived && Number(retransmits) === 0;
    const isUnaccepted = (state === tcpStates.established || state === tcpStates.closeWait) && inode === "0";
    return `${local} `.endsWith(portText) && (isHandshake || isUnaccepted) && portOf(remote) !== ownPort;
  });
}

/** States in /proc/net/tcp, as in include/net/tcp_states.h of Linux. A connection without inode has not been accepted. */
const tcpStates = { established: "01", synReceived: "03", closeWait: "08" };

const portOf = (address: string): number => Number.parseInt(address.slice(address.lastIndexOf(":") + 1), 16);
