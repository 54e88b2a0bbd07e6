/** Ports of this machine for servers that tests start. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterTest } from "./afterTest.ts";

/**
 * Returns ports that nothing listens on. All are held until all are known. They are below those that systems choose by themselves
 * (from 32768 on Linux), so that no other program gets one before it is used, or while its server is stopped.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port, "127.0.0.1");
    if (
      !(await once(server, "listening").then(
        () => true,
        () => false,
      ))
    )
      continue;
    servers.push(server);
    ports.push(port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port as number;
}

/** Listens on a free port until the end of the test, and closes all connections then. Returns the port. */
export async function listen(server: Server): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  afterTest(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return listening(server);
}

/** Resolves when a port accepts connections. Throws after 10 seconds. */
export async function untilListening(port: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  const connects = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
  while (!(await connects())) {
    if (Date.now() > deadline) throw new Error(`Nothing listens on port ${port}.`);
    await sleep(50);
  }
}

async function listening(server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}
