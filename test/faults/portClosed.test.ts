/** A proxy does not repeat a POST if its connection was reset. Almost none is reset while a port closes. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { emptyListenQueue } from "../../src/http/listenQueue.ts";
import { afterTest } from "../support/afterTest.ts";

/** Sends requests on new connections until the port is closed, and counts the outcomes. Its loop is independent of the server's. */
const clients = `
  const { connect } = require("node:net");
  const { parentPort, workerData: port } = require("node:worker_threads");
  const outcomes = {};
  let running = 8;
  const send = () => {
    let outcome = "no response";
    let isConnected = false;
    const socket = connect(port, "127.0.0.1", () => {
      isConnected = true;
      socket.write("POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\nhi");
    });
    socket.on("data", () => { outcome = "answered"; });
    socket.on("error", (error) => { if (outcome !== "answered") outcome = isConnected ? "reset" : error.code; });
    socket.on("close", () => {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      if (outcome === "answered") return send();
      running -= 1;
      if (running === 0) parentPort.postMessage(outcomes);
    });
  };
  for (let client = 0; client < 8; client += 1) send();`;

const rounds = 30;

test("while a port closes, connections are served, refused or not established, and almost none is reset", async () => {
  const total: Record<string, number> = {};
  for (let round = 0; round < rounds; round += 1) {
    const server = createServer((request, response) => {
      request.resume().on("end", () => response.setHeader("Connection", "close").end("served"));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const worker = new Worker(clients, { eval: true, workerData: (server.address() as AddressInfo).port });
    afterTest(() => void worker.terminate());
    const finished = once(worker, "message");
    await sleep(100);
    await emptyListenQueue(server);
    server.close();
    const [outcomes] = await finished;
    for (const [outcome, count] of Object.entries(outcomes)) total[outcome] = (total[outcome] ?? 0) + Number(count);
  }
  console.info(total);
  const { answered, ECONNREFUSED: refused, ...others } = total;
  expect(answered).toBeGreaterThan(rounds);
  expect(refused).toBeGreaterThan(rounds);
  const reset = Object.values(others).reduce((sum, count) => sum + count, 0);
  expect(reset).toBeLessThan(rounds / 10); // some 60 to 120 if the queue has room, or if pending connections are not looked for
});
