/** Limits on connections: their number, idle time and slow readers. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { expect, test, vi } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { ca, sendRaw } from "../support/client.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService({ MAX_CONNECTIONS: "5" });
const behindProxy = await startTestService({ TRUST_PROXY: "loopback" });

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on("error", () => {});
  await once(socket, "connect");
  return socket;
}

const ask = (socket: Socket, path: string) => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);

/** Seconds from `started` until the connection is closed. Waits for at most `limit` from now on. */
function secondsOpen(socket: Socket, limit: number, started = performance.now()): Promise<number> {
  return new Promise((resolve) => {
    const end = () => resolve((performance.now() - started) / 1000);
    if (socket.closed) return end();
    socket.once("close", end);
    setTimeout(end, limit * 1000);
  });
}

test("connections beyond MAX_CONNECTIONS are closed on arrival, and logged together", async () => {
  const sockets = await Promise.all(Array.from({ length: 5 }, () => open(service.url)));
  for (const socket of sockets) {
    ask(socket, "/livez");
    await once(socket, "data"); // the connection was accepted
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
  expect(lines.reduce((sum, { refused }) => sum + refused, 0)).toBe(7);
  expect((await service.send("GET", "/livez")).status).toBe(200);
});

/** Opens connections from one loopback address, and waits until each is served or closed. */
async function hold(url: string, localAddress: string, count: number) {
  const { protocol, hostname, port } = new URL(url);
  const place = { port: Number(port), host: hostname, localAddress };
  const sockets = Array.from({ length: count }, () =>
    (protocol === "https:" ? connectTls({ ...place, ca }) : connect(place)).on("error", () => {}),
  );
  afterTest(() => {
    for (const socket of sockets) socket.destroy();
  });
  const isServed = await Promise.all(
    sockets.map(async (socket) => {
      const closed = new Promise((resolve) => socket.once("close", () => resolve(false)));
      ask(socket, "/livez");
      return Promise.race([
        closed,
        once(socket, "data").then(
          () => true,
          () => false,
        ),
      ]);
    }),
  );
  return {
    served: sockets.filter((_, index) => isServed[index]),
    refused: isServed.filter((served) => !served).length,
  };
}

const certificate = {
  TLS_CERT: "test/support/certificates/one.cert.pem",
  TLS_KEY: "test/support/certificates/one.key.pem",
};

test.each([
  ["", {}],
  [", with TLS", certificate],
])("one network holds no more than MAX_CONNECTIONS_PER_NETWORK%s, and others have the rest", async (_, tls) => {
  const settings = { MAX_CONNECTIONS: "6", MAX_CONNECTIONS_PER_NETWORK: "4", METRICS_PORT: "0", ...tls };
  const service = await startTestService(settings);
  const first = await hold(service.url, "127.0.0.2", 9);
  expect(first.served.length).toBe(4);
  const second = await hold(service.url, "127.0.0.3", 3);
  expect(second.served.length).toBe(2); // six connections now
  for (const socket of first.served) socket.destroy();
  await Promise.all(first.served.map((socket) => socket.closed || once(socket, "close")));
  await vi.waitUntil(async () => (await hold(service.url, "127.0.0.2", 1)).served.length === 1, 15_000);

  await vi.waitUntil(() => service.log.some((line) => line.includes("are open from one network")), 15_000);
  const lines = service.log.filter((line) => line.includes("connections refused")).map((line) => JSON.parse(line));
  expect(lines.find(({ msg }) => msg.includes("from one network"))).toMatchObject({
    refused: 5,
    networks: ["127.0.0.2"],
    maxConnectionsPerNetwork: 4,
  });
  const { url } = service.log.map((line) => JSON.parse(line)).find(({ msg }) => msg === "metrics");
  const metrics = await (await fetch(url)).text();
  expect(metrics).toContain('latchkey_connections_refused_total{limit="network"} 5');
  expect(metrics).toMatch(/latchkey_connections_refused_total\{limit="total"\} [1-9]/);
});

test("without MAX_CONNECTIONS_PER_NETWORK one network gets a quarter, and at least 16", async () => {
  const service = await startTestService({ MAX_CONNECTIONS: "80" });
  expect((await hold(service.url, "127.0.0.2", 30)).served.length).toBe(20);
  const small = await startTestService({ MAX_CONNECTIONS: "40" });
  expect((await hold(small.url, "127.0.0.2", 30)).served.length).toBe(16);
  expect((await hold(small.url, "127.0.0.3", 1)).served.length).toBe(1);
});

test("a proxy in TRUST_PROXY gets more, and nobody else", async () => {
  const settings = { MAX_CONNECTIONS_PER_NETWORK: "2" };
  const named = await startTestService({ ...settings, TRUST_PROXY: "192.0.2.1,127.0.0.2" });
  expect((await hold(named.url, "127.0.0.2", 5)).served.length).toBe(5);
  expect((await hold(named.url, "127.0.0.3", 5)).served.length).toBe(2);
  const counted = await startTestService({ ...settings, TRUST_PROXY: "1" });
  expect((await hold(counted.url, "127.0.0.3", 5)).served.length).toBe(5);
  const none = await startTestService({ ...settings, TRUST_PROXY: "0" });
  expect((await hold(none.url, "127.0.0.3", 5)).served.length).toBe(2);
});

test.each([
  ["", {}],
  [", with TLS", certificate],
])(
  "a connection without a request is closed without an answer%s, one with half a request gets a 408",
  async (_, tls) => {
    const { url } = await startTestService(tls);
    const { protocol, hostname, port } = new URL(url);
    const all = (first: string, then = "") =>
      new Promise<string>((resolve) => {
        const place = { port: Number(port), host: hostname };
        const begin = () => void (first && socket.write(first));
        const socket = protocol === "https:" ? connectTls({ ...place, ca }, begin) : connect(place, begin);
        let read = "";
        socket.on("error", (error) => resolve(error.message));
        socket.on("data", (chunk) => {
          if (read === "" && then) socket.write(then);
          read += chunk;
        });
        socket.on("close", () => resolve((read.match(/HTTP\/1\.1 \d+ [A-Za-z ]+/g) ?? []).join()));
      });
    const request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    const answers = await Promise.all([
      all(""),
      all("GET /li"),
      all(request),
      all(request, "G"),
      all(request + request, request),
    ]);
    const [ok, late] = ["HTTP/1.1 200 OK", "HTTP/1.1 408 Request Timeout"];
    expect(answers).toEqual(["", late, ok, `${ok},${late}`, `${ok},${ok},${ok}`]);
  },
);

test("an incomplete request head is a 408, which closes the connection", async () => {
  for (const partial of ["G", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Le"]) {
    const answer = await sendRaw(behindProxy.url, partial);
    expect(answer).toMatchObject({ status: 408, problem: "request-timeout" });
    expect(answer.header("connection")).toBe("close");
  }
});

test("an idle connection is closed after 3 s, unless it is a proxy's", async () => {
  const secondsAfterRequest = async ({ url }: { url: string }) => {
    const socket = await open(url);
    afterTest(() => socket.destroy());
    const asked = performance.now();
    ask(socket, "/livez");
    await once(socket, "data");
    return secondsOpen(socket.resume(), 9, asked);
  };
  const [first, second] = await Promise.all([service, behindProxy].map(secondsAfterRequest));
  expect(first).toBeGreaterThan(3);
  expect(first).toBeLessThan(8);
  expect(second).toBeGreaterThan(8.9);
});

test("a client that does not read a response is disconnected; one that reads slowly gets all of it", {
  timeout: 60_000,
}, async () => {
  const [stuck, slow] = await Promise.all([open(behindProxy.url), open(behindProxy.url)]);
  // More than the kernel's buffers hold.
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

test("rejected clients that stay connected make room for others", async () => {
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
