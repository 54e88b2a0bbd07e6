/** The database's port accepts and closes connections, like HAProxy's without a primary. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { password, startTestService } from "../support/service.ts";

const observedMs = 10_000;

test("few connections and one log line while connections are closed, and recovery within 2 s", async () => {
  const postgres = await startBreakablePostgres();
  const { host, port: portOfPostgres, user, database } = postgres.connection;
  let isClosing = false;
  let connections = 0;
  const sockets = new Set<Socket>();
  const proxy = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    if (isClosing) return socket.destroy();
    const server = connect(`${host}/.s.PGSQL.${portOfPostgres}`).on("error", () => socket.destroy());
    socket.on("close", () => server.destroy());
    server.on("close", () => socket.destroy());
    socket.pipe(server).pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  afterTest(() => proxy.close());
  const { port } = proxy.address() as { port: number };
  const service = await startTestService({}, `postgres://${user}@127.0.0.1:${port}/${database}`);
  const basic: [string, string] = ["miguel", password];
  await vi.waitUntil(
    async () => (await service.send("POST", "/api/users", { json: { username: "miguel", password } })).status === 201,
    10_000,
  );
  const linesBefore = service.log.length;
  isClosing = true;
  for (const socket of sockets) socket.destroy();
  await sleep(2_000); // the retry delays grow
  connections = 0;
  const cpu = process.cpuUsage();
  await sleep(observedMs);
  const { user: userUs, system } = process.cpuUsage(cpu);
  const perSecond = connections / (observedMs / 1000);
  process.stdout.write(
    `${perSecond} connections a second, ${((userUs + system) / observedMs / 10).toFixed(1)} % of a core\n`,
  );
  expect(perSecond).toBeLessThan(8);
  const lines = service.log.slice(linesBefore).map((line) => JSON.parse(line));
  expect(lines.map(({ msg }) => msg)).toEqual(["the database is away"]);
  isClosing = false;
  const back = performance.now();
  await vi.waitUntil(async () => (await service.send("GET", "/api/resource", { basic })).status === 200, {
    timeout: 2_000,
    interval: 20,
  });
  expect(performance.now() - back).toBeLessThan(2_000);
  await vi.waitUntil(() => service.log.some((line) => line.includes("the database is back")), 15_000);
});
