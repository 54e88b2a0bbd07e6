/** A graceful shutdown: readiness fails first, then no new connections are accepted, then requests in flight complete. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { createLifecycle } from "../../src/lib/lifecycle.ts";
import { createClient, registerUser } from "../support/client.ts";
import { type Program, runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

const start = async (settings: Record<string, string> = {}) => {
  const program = runProgram([], { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey, ...settings });
  const url = await program.url;
  return { ...program, url, send: createClient(url) };
};

const slowHashes = { ARGON2_MEMORY_KIB: "262144", ARGON2_PASSES: "4" };

/** A connection that stays open. */
async function keptAlive(url: string): Promise<{ socket: Socket; ask(path: string): Promise<string> }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setEncoding("latin1");
  await once(socket, "connect");
  return {
    socket,
    async ask(path) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      return String((await once(socket, "data"))[0]);
    },
  };
}

/** Sends SIGTERM, and waits until the program has handled it. */
async function stopping({ stdout, process }: Pick<Program, "stdout" | "process">) {
  process.kill("SIGTERM");
  while (!stdout.some((line) => line.includes('"stopping"'))) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("SIGTERM lets a request in flight finish, then ends with exit status 0", { timeout: 60_000 }, async () => {
  const { send, process, exit } = await start({ ...slowHashes, PASSWORD_BLOCKLIST: "off" });
  const slow = send("POST", "/api/users", { json: { username: "miguel", password } });
  await send("GET", "/livez"); // the slow request sent before is in flight now
  process.kill("SIGTERM");
  expect((await slow).status).toBe(201);
  expect(await exit).toBe(0);
});

describe("after SIGTERM", { timeout: 60_000 }, () => {
  test("readiness fails, requests are served, each connection closes with its next response, then the program exits", async () => {
    const program = await start({ SHUTDOWN_GRACE_SECONDS: "3" });
    const { send } = program;
    const idle = await keptAlive(program.url);
    await registerUser(send, { username: "susan", password }); // loads the dictionaries of passwords
    expect(await idle.ask("/livez")).not.toMatch(/^Connection: close/im);
    const started = performance.now();
    await stopping(program);

    const notReady = await send("GET", "/readyz");
    expect(notReady).toMatchObject({ status: 503, problem: "shutting-down" });
    expect(notReady.header("retry-after")).toBeDefined();
    // Idle connections stay open: a proxy may be about to use one.
    expect(await idle.ask("/livez")).toMatch(/^HTTP\/1.1 200[\s\S]*^Connection: close/im);
    await once(idle.socket, "close");
    const created = await send("POST", "/api/users", { json: { username: "miguel", password } });
    expect(created.status).toBe(201);
    expect(created.header("connection")).toBe("close");
    expect((await send("GET", "/api/resource", { basic: ["miguel", password] })).status).toBe(200);
    expect((await send("GET", "/livez")).status).toBe(200);

    expect(await program.exit).toBe(0);
    expect(performance.now() - started).toBeGreaterThanOrEqual(2_900);
    // Nothing idle keeps the process alive, including the thread that estimates passwords.
    expect(performance.now() - started).toBeLessThan(10_000);
    await expect(send("GET", "/livez")).rejects.toThrow("ECONNREFUSED");
  });

  test("a response in progress is completed and closes its connection", async () => {
    const program = await start({ ...slowHashes, PASSWORD_BLOCKLIST: "off", SHUTDOWN_GRACE_SECONDS: "60" });
    const register = (username: string) => {
      const json = JSON.stringify({ username, password });
      const head = "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
      socket.write(`${head}Content-Length: ${json.length}\r\n\r\n${json}`);
    };
    const { socket } = await keptAlive(program.url);
    register("miguel");
    await program.send("GET", "/livez"); // the slow request sent before is in flight now
    await stopping(program);
    register("behind"); // its response could not be identified
    expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1.1 201[\s\S]*^Connection: close/im);
    const free = await program.send("POST", "/api/users", { json: { username: "behind", password } });
    expect(free.status).toBe(201);
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
  });

  test.each<NodeJS.Signals>(["SIGTERM", "SIGINT"])(
    "%s skips the rest of the grace",
    {
      timeout: 15_000,
    },
    async (signal) => {
      const program = await start({ SHUTDOWN_GRACE_SECONDS: "60" });
      await stopping(program);
      expect((await program.send("GET", "/livez")).status).toBe(200);
      program.process.kill(signal);
      expect(await program.exit).toBe(0);
    },
  );
});

test("SIGINT skips the grace period", { timeout: 30_000 }, async () => {
  const program = await start({ SHUTDOWN_GRACE_SECONDS: "60" });
  program.process.kill("SIGINT");
  // The kernel runs the handlers of signals that are pending together in reverse order.
  while (!/^ShdPnd:\t0+$/m.test(await readFile(`/proc/${program.process.pid}/status`, "utf8")));
  program.process.kill("SIGTERM"); // as npm forwards the same Ctrl-C
  expect(await program.exit).toBe(0);
});

test("a part that does not close, or fails, keeps no other open, and is named; parts close in their order", {
  timeout: 5_000,
}, async () => {
  const lifecycle = createLifecycle();
  const order: string[] = [];
  const close = (name: string) => () => order.push(name);
  lifecycle.add("postgres", "Postgres", close("Postgres"));
  lifecycle.add("connections", "database", close("database"));
  lifecycle.add("connections", "notifications", () => new Promise(() => {}));
  lifecycle.add("servers", "server", () => {
    order.push("server");
    throw new Error("no such server");
  });
  const closed = lifecycle.close();
  lifecycle.add("servers", "late", close("late")); // a cancelled start continues for a moment
  await expect(closed).rejects.toThrow(/^server: no such server; notifications: not closed within 1.5 s$/);
  expect(order).toEqual(["server", "late", "database", "Postgres"]);
  expect(lifecycle.pending()).toEqual([]);
});
