/** Clients that request the documentation and do not read it use no memory for copies. */
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { createClient } from "../support/client.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase } from "../support/service.ts";

const connections = 200;
/** As many as a connection may pipeline. */
const pipelined = 8;
const warmUps = 50;
/** A copy of the page per request would be 4,270 MB; its first 64 KiB, 105 MB. */
const mostGrownMB = 80;

test.each(["identity", "gzip", "br"])("Accept-Encoding: %s", async (coding) => {
  const program = serveOn(await createDatabase(), { METRICS_PORT: "0" });
  const url = await program.url;
  const metricsUrl = JSON.parse(program.stdout.find((line) => line.includes('"metrics"')) ?? "{}").url;
  const open = async () =>
    Number(/^latchkey_http_connections (\d+)$/m.exec(await (await fetch(metricsUrl)).text())?.[1]);
  const send = createClient(url);
  for (let count = 0; count < warmUps; count += 1) {
    await send("GET", "/docs", { headers: { "accept-encoding": coding } });
  }
  const memory = async (name: "VmRSS" | "VmHWM") => {
    const status = await readFile(`/proc/${program.process.pid}/status`, "utf8");
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1_000;
  };
  const before = await memory("VmRSS");
  await writeFile(`/proc/${program.process.pid}/clear_refs`, "5"); // resets the peak
  const request = `GET /docs HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`;
  const sockets = Array.from({ length: connections }, () =>
    connect(Number(new URL(url).port), "127.0.0.1", function (this: Socket) {
      this.pause().write(request.repeat(pipelined));
    }).on("error", () => {}),
  );
  await Promise.all(sockets.map((socket) => once(socket, "readable")));
  // The service has read all requests of the first clients, and still serves others.
  expect((await send("GET", "/livez")).status).toBe(200);
  // Each is disconnected, since it reads nothing.
  await expect.poll(open, { timeout: 20_000 }).toBe(0);
  const grownMB = (await memory("VmHWM")) - before;
  for (const socket of sockets) socket.destroy();
  console.log({ coding, before, grownMB });
  expect(grownMB).toBeLessThan(mostGrownMB);
});
