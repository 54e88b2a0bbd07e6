/** What one connection may cost: how many there are, how long they idle, and how slowly they are read. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { startTestService } from "./support/service.ts";

const service = await startTestService({ MAX_CONNECTIONS: "5" });
const behindProxy = await startTestService({ TRUST_PROXY: "loopback" });

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on("error", () => {});
  await once(socket, "connect");
  return socket;
}

const ask = (socket: Socket, path: string) => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);

/** Seconds until the connection is closed; at most `limit`. */
function secondsOpen(socket: Socket, limit: number): Promise<number> {
  const started = performance.now();
  return new Promise((resolve) => {
    const end = () => resolve((performance.now() - started) / 1000);
    socket.once("close", end);
    setTimeout(end, limit * 1000);
  });
}

test("connections beyond MAX_CONNECTIONS are closed as they come, and logged together", async () => {
  const sockets = await Promise.all(Array.from({ length: 5 }, () => open(service.url)));
  for (const socket of sockets) {
    ask(socket, "/livez");
    await once(socket, "data"); // it has been accepted
  }
  const refused = await Promise.all(Array.from({ length: 7 }, () => open(service.url)));
  for (const seconds of await Promise.all(refused.map((socket) => secondsOpen(socket, 3)))) {
    expect(seconds).toBeLessThan(2);
  }
  ask(sockets[0] as Socket, "/livez");
  expect(String((await once(sockets[0] as Socket, "data"))[0])).toMatch(/^HTTP\/1.1 200/);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  const lines = service.log.filter((line) => line.includes("connections refused")).map((line) => JSON.parse(line));
  expect(lines.length).toBeLessThanOrEqual(2);
  expect(lines.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(7);
  expect((await service.send("GET", "/livez")).status).toBe(200);
});

test("an idle connection is closed after 3 s, that of a proxy is left to it", async () => {
  const [direct, proxied] = await Promise.all([open(service.url), open(behindProxy.url)]);
  for (const socket of [direct, proxied]) {
    ask(socket, "/livez");
    await once(socket, "data");
    socket.resume();
  }
  const [first, second] = await Promise.all([secondsOpen(direct, 9), secondsOpen(proxied, 9)]);
  expect(first).toBeGreaterThan(3);
  expect(first).toBeLessThan(8);
  expect(second).toBeGreaterThan(8.9);
  proxied.destroy();
});

test("who does not take an answer loses the connection; who takes it slowly gets all of it", {
  timeout: 60_000,
}, async () => {
  const [stuck, slow] = await Promise.all([open(behindProxy.url), open(behindProxy.url)]);
  // More than the kernel keeps for anyone.
  const documents = 8;
  for (const socket of [stuck, slow]) for (let count = 0; count < documents; count += 1) ask(socket, "/docs");
  const length = documents * Number((await behindProxy.send("HEAD", "/docs")).header("content-length"));
  let taken = 0;
  slow.on("data", (chunk) => {
    taken += chunk.length;
    slow.pause();
    setTimeout(() => slow.resume(), (chunk.length / length) * 8_000);
  });
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  let late = 0;
  stuck.on("data", (chunk) => {
    late += chunk.length;
  });
  expect(await secondsOpen(stuck, 5)).toBeLessThan(4);
  expect(late).toBeLessThan(length);
  while (!slow.destroyed && taken < length) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(taken).toBeGreaterThanOrEqual(length);
  slow.destroy();
});

test("clients that are refused and stay make room for others", async () => {
  const { hostname, port } = new URL(service.url);
  const refused = Array.from({ length: 5 }, () => connect({ port: Number(port), host: hostname, allowHalfOpen: true }));
  for (const socket of refused) {
    socket.on("error", () => {}).write("hello\r\n\r\n");
    expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1.1 400/);
  }
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect((await service.send("GET", "/livez")).status).toBe(200);
  for (const socket of refused) socket.destroy();
});
