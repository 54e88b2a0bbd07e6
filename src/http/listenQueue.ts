/**
 * Closes a port with almost no reset connection. The kernel resets the connections that are in the listen queue when a port closes, and
 * a proxy that has sent a POST on one does not repeat it. It repeats a POST whose connection was refused or not established.
 */
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { nextTick } from "node:process";
import { setImmediate as nextTurn } from "node:timers/promises";

/** The maximum time for which connections are accepted. */
const timeoutMs = 2_000;
/** After so many turns without a connection, the system has no queue that this process can fill. */
const maxIdleTurns = 100;

/** Members of Node's handles that are not documented. Without them, a few microseconds remain in which a connection is reset. */
type ListenHandle = { listen?(backlog: number): number };
type SocketHandle = { getpeername?(result: object): number };
const handleOf = (owner: Server | Socket): unknown => Reflect.get(owner, "_handle");

/**
 * Accepts connections until the listen queue contains only one from this process. The caller must close the server before it awaits
 * anything.
 *
 * The queue is first reduced to one place. Linux ignores attempts to connect while it is full, and clients repeat them after a second.
 * A connection that is established in the microseconds in which the last place is taken can still be reset.
 */
export async function emptyListenQueue(server: Server): Promise<void> {
  const { address, port } = server.address() as AddressInfo;
  let idleTurns = 0;
  const onConnection = () => {
    idleTurns = 0;
  };
  server.on("connection", onConnection);
  (handleOf(server) as ListenHandle | null)?.listen?.(0);
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline && idleTurns < maxIdleTurns; ) {
    const own = connect(port, address).on("error", () => {});
    await new Promise<void>((resolve) => nextTick(resolve)); // by now, the kernel has connected it if there was room
    const isQueued = (handleOf(own) as SocketHandle | null)?.getpeername?.({}) === 0;
    own.destroy();
    if (isQueued) break;
    idleTurns += 1;
    await nextTurn();
  }
  server.off("connection", onConnection);
}
