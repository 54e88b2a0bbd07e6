import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { ca, createClient, registerUser } from "../support/client.ts";
import { startNginx } from "../support/nginx.ts";
import { freePorts } from "../support/ports.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

/** @returns its URL, its URL without TLS, and what reads its error log */
async function startProxy(instances: number[]) {
  const [port, plainPort] = await freePorts(2);
  const certificate = resolve("test/support/certificates/one");
  const site = (await readFile("deploy/nginx.conf", "utf8"))
    .replace("listen 80;", `listen 127.0.0.1:${plainPort};`)
    .replace("listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`)
    .replace("/etc/ssl/latchkey.pem", `${certificate}.cert.pem`)
    .replace("/etc/ssl/private/latchkey.pem", `${certificate}.key.pem`)
    .replace("127.0.0.1:8080", `127.0.0.1:${instances[0]}`)
    .replace("127.0.0.1:8081", `127.0.0.1:${instances[1]}`);
  const errors = await startNginx(site, Number(port));
  return { url: `https://127.0.0.1:${port}`, plainUrl: `http://127.0.0.1:${plainPort}`, errors };
}

/** Repeats a request until `stop`, one after the other, and records the failures. */
function load(ask: () => Promise<string | undefined>) {
  let isStopped = false;
  const done = { requests: 0, failures: [] as string[] };
  const asking = (async () => {
    while (!isStopped) {
      const failure = await ask().catch((error: unknown) => String(error));
      done.requests += 1;
      if (failure !== undefined) done.failures.push(failure);
    }
    return done;
  })();
  return () => {
    isStopped = true;
    return asking;
  };
}

test("each instance is restarted twice under load: every request is answered, every registration is kept", async () => {
  const ports = await freePorts(2);
  const DATABASE_URL = await createDatabase();
  const start = async (port = 0) => {
    const settings = { DATABASE_URL, SECRET_KEY: secretKey, PORT: String(port), TRUST_PROXY: "loopback" };
    const program = runProgram([], { ...settings, THROTTLE: "off", SHUTDOWN_GRACE_SECONDS: "3" });
    const send = createClient(await program.url);
    while ((await send("GET", "/readyz")).status !== 200) await sleep(50);
    return program;
  };
  const instances = [await start(ports[0]), await start(ports[1])];
  const proxy = await startProxy(ports);
  const send = createClient(proxy.url);

  await registerUser(send, { username: "miguel", password });
  const { token } = (await send("GET", "/api/token", { basic: ["miguel", password] })).json;
  const acknowledged: string[] = [];
  const read = async () => {
    const { status, text } = await send("GET", "/api/resource", { bearer: token });
    return status === 200 ? undefined : `${status} ${text}`;
  };
  let users = 0;
  const register = async () => {
    users += 1;
    const username = `user${users}`;
    const { status, text } = await send("POST", "/api/users", { json: { username, password } });
    if (status !== 201) return `${status} ${text}`;
    acknowledged.push(username);
    return undefined;
  };
  const readers = Array.from({ length: 6 }, () => load(read));
  const writers = Array.from({ length: 4 }, () => load(register));

  for (const index of [0, 1, 0, 1]) {
    const instance = instances[index] as (typeof instances)[number];
    instance.process.kill("SIGTERM");
    expect(await instance.exit).toBe(0);
    instances[index] = await start(ports[index]);
  }

  const reads = await Promise.all(readers.map((stop) => stop()));
  const registrations = await Promise.all(writers.map((stop) => stop()));
  const all = [...reads, ...registrations];
  console.log({ requests: all.reduce((sum, { requests }) => sum + requests, 0), registrations: acknowledged.length });
  const failures = all.flatMap((each) => each.failures);
  const refusals = /connect\(\) failed \(111/; // expected: the request goes to the other instance
  const errors = (await proxy.errors()).split("\n").filter((line) => !refusals.test(line));
  expect(failures, [...failures, "The log of nginx:", ...errors].join("\n")).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(50);
  for (const username of acknowledged) {
    const again = await send("POST", "/api/users", { json: { username, password } });
    expect(again.status, username).toBe(409);
  }
});

test("a POST is not sent twice, and without TLS nothing is served", async () => {
  // Two instances that accept a request and close without a response.
  const received: string[] = [];
  const instances = await Promise.all(
    [0, 1].map(async () => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", (bytes) => {
          received.push(String(bytes).split(" ", 1)[0] as string);
          socket.destroy();
        });
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      afterTest(() => server.close());
      return (server.address() as AddressInfo).port;
    }),
  );
  const { url, plainUrl } = await startProxy(instances);
  const status = (origin: string, method: string) =>
    new Promise<number>((resolve, reject) => {
      const options = { ca, method, headers: { authorization: "Basic bWlndWVsOmhvcnNl" } };
      const answer = (incoming: IncomingMessage) => resolve(incoming.resume().statusCode ?? 0);
      const outgoing = origin.startsWith("https:")
        ? request(origin, options, answer)
        : requestPlain(origin, options, answer);
      outgoing.once("error", reject).end();
    });
  expect(await status(url, "POST")).toBe(502);
  expect(received).toEqual(["POST"]);
  expect(await status(url, "GET")).toBe(502);
  expect(received).toEqual(["POST", "GET", "GET"]);
  for (const method of ["GET", "POST"]) expect(await status(plainUrl, method)).toBe(403);
  expect(received).toHaveLength(3);
});
