/** Whatever a connection sends and however it ends, the process continues to serve, on all ports. */
import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { ca, createClient } from "../support/client.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase } from "../support/service.ts";

/** A reproducible random generator (mulberry32). @returns numbers from 0 up to 1 */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const heads = [
  "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
  "GET http://x/livez HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET /docs HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
  "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
  "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "GARBAGE\r\n\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  "\x15\x03\x03\x00\x02\x02\x28",
  "\r\n",
  "",
];

/** A connection that sends a few complete or truncated pieces, and ends in one of several ways. */
async function attack(port: number, overTls: boolean, random: () => number): Promise<void> {
  const pick = <T>(items: T[]) => items[Math.floor(random() * items.length)] as T;
  const plain = connect(port, "127.0.0.1").on("error", () => {});
  const socket = overTls ? connectTls({ socket: plain, host: "127.0.0.1", ca }).on("error", () => {}) : plain;
  const closed = once(socket, "close").catch(() => {});
  const pieces = Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
    const noise = Array.from({ length: 40 }, () => String.fromCharCode(random() * 256)).join("");
    const piece = pick([...heads, noise]);
    return random() < 0.3 ? piece.slice(0, random() * piece.length) : piece;
  });
  const breathe = () => new Promise((resolve) => setTimeout(resolve, random() * 4));
  if (random() < 0.5) await Promise.race([once(socket, "connect").catch(() => {}), closed]);
  if (random() < 0.5) socket.resume();
  for (const piece of pieces) {
    if (!socket.writable) break;
    socket.write(piece, "latin1");
    if (random() < 0.5) await breathe();
  }
  pick([() => plain.resetAndDestroy(), () => plain.resetAndDestroy(), () => socket.destroy(), () => socket.end()])();
  await breathe();
  socket.destroy();
  plain.destroy();
  await closed;
}

describe.each([1, 2])("with WORKERS=%i", (workers) => {
  test("malformed and broken connections end no process", { timeout: 60_000 }, async () => {
    const database = await createDatabase();
    const tls = {
      TLS_CERT: "test/support/certificates/one.cert.pem",
      TLS_KEY: "test/support/certificates/one.key.pem",
    };
    for (const settings of [{}, tls]) {
      const program = serveOn(database, { METRICS_PORT: "0", WORKERS: String(workers), ...settings });
      const url = await program.url;
      const metricsUrl = () =>
        program.stdout.map((line) => JSON.parse(line)).find(({ msg }) => msg === "metrics")?.url as string;
      const seed = Date.now() % 2 ** 31;
      console.info(`seed ${seed}`);
      const random = chance(seed);
      const ports = [url, metricsUrl()].map((target) => Number(new URL(target).port));
      const ways = ports.flatMap((port) => [false, true].map((overTls) => ({ port, overTls })));
      for (let round = 0; round < 15; round += 1) {
        const attacks = ways.flatMap((way) => Array.from({ length: 10 }, () => way));
        await Promise.all(attacks.map(({ port, overTls }) => attack(port, overTls, random)));
      }
      expect((await createClient(url)("GET", "/livez")).status).toBe(200);
      const text = await (await fetch(metricsUrl())).text();
      expect(text).toContain("latchkey_workers_ended_total 0");
      expect(program.process.exitCode).toBeNull();
      const lines = program.stdout.map((line) => JSON.parse(line) as { level: number });
      expect(lines.filter(({ level }) => level >= 50)).toEqual([]);
      expect(program.stderr).toEqual([]);
      program.process.kill("SIGTERM");
      expect(await program.exit).toBe(0);
    }
  });
});

test("CONNECT and a reset, ten times a second and more, end nothing", async () => {
  const program = serveOn(await createDatabase(), { METRICS_PORT: "0" });
  const url = await program.url;
  const metricsUrl = program.stdout.map((line) => JSON.parse(line)).find(({ msg }) => msg === "metrics").url;
  for (const target of [url, metricsUrl]) {
    for (let count = 0; count < 30; count += 1) {
      const socket = connect(Number(new URL(target).port), "127.0.0.1").on("error", () => {});
      afterTest(() => socket.destroy());
      await once(socket, "connect");
      socket.write("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
      if (count % 2) await Promise.race([once(socket, "data"), once(socket, "close")]);
      socket.resetAndDestroy();
      expect((await createClient(url)("GET", "/livez")).status).toBe(200);
    }
  }
  expect(program.process.exitCode).toBeNull();
});
