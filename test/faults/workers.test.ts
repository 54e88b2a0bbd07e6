/** Several processes serve one port: they are replaced when they fail, and start, stop and are measured together. */
import type { Worker } from "node:cluster";
import { EventEmitter, once } from "node:events";
import { Agent, get } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { version } from "../../src/lib/package.ts";
import { watchHeartbeat } from "../../src/process/heartbeat.ts";
import { countedRestarts } from "../../src/process/workerPool.ts";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient, registerUser, untilNotOverloaded, untilRejected } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { type Program, runProgram, serveOn } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

type Line = {
  msg: string;
  reason?: string;
  worker?: number;
  workerPid?: number;
  pauseMs?: number;
  url?: string;
  operation?: string;
};
const linesOf = ({ stdout }: Pick<Program, "stdout">) =>
  stdout.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Line);

/** The process of each worker number. */
const pidsOf = (program: Pick<Program, "stdout">) =>
  new Map(linesOf(program).flatMap(({ worker, workerPid }) => (worker && workerPid ? [[worker, workerPid]] : [])));

const soon = { timeout: 10_000, interval: 10 };
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** Two workers on a new database, both serving. */
async function startTwo(settings: Record<string, string> = {}) {
  const program = serveOn(await createDatabase(), { WORKERS: "2", ...settings });
  const url = await program.url;
  await vi.waitUntil(() => pidsOf(program).size === 2, soon);
  return { ...program, url, send: createClient(url) };
}

const serveLines = (program: Pick<Program, "stdout">) =>
  linesOf(program).filter(({ msg }) => msg === "a worker serves").length;

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** A client with one connection, and so with one worker. */
function oneConnection(url: string): (path: string, bearer: string, method?: string) => Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  afterTest(() => agent.destroy());
  return (path, bearer, method = "GET") =>
    new Promise((resolve, reject) => {
      const options = { agent, method, headers: { authorization: `Bearer ${bearer}` } };
      get(url + path, options, (answer) => {
        answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
      }).once("error", reject);
    });
}

test("a worker that ran for a minute is replaced after the shortest delay", () => {
  expect(countedRestarts(3, 59_000)).toBe(3);
  expect(countedRestarts(3, 61_000)).toBe(0);
});

test("a heartbeat may be missing for less than 60 seconds during a start, and less than 5 afterwards", () => {
  vi.useFakeTimers();
  afterTest(() => vi.useRealTimers());
  const worker = new EventEmitter() as Worker;
  const hangs = vi.fn();
  const heartbeat = watchHeartbeat(worker, hangs);
  vi.advanceTimersByTime(59_000);
  expect(hangs).not.toHaveBeenCalled();
  worker.emit("message", { url: "" });
  heartbeat.serves();
  for (let second = 0; second < 100; second += 1) {
    vi.advanceTimersByTime(1_000);
    worker.emit("message", { beat: true });
  }
  vi.advanceTimersByTime(2_000);
  expect(heartbeat.isSilent()).toBe(false);
  vi.advanceTimersByTime(1_000);
  expect(heartbeat.isSilent()).toBe(true);
  vi.advanceTimersByTime(1_000);
  expect(hangs).not.toHaveBeenCalled();
  vi.advanceTimersByTime(10_000);
  expect(hangs).toHaveBeenCalledOnce();
});

describe("two workers", { timeout: 60_000 }, () => {
  test("share the connections, and what one revokes the other rejects within a second", async () => {
    const program = await startTwo();
    await registerUser(program.send, { username: "miguel", password });
    const { token } = (await program.send("GET", "/api/token", { basic: ["miguel", password] })).json;
    const [first, second] = [oneConnection(program.url), oneConnection(program.url)];
    expect(await first("/api/resource", token)).toBe(200);
    expect(await second("/api/resource", token)).toBe(200);
    const served = () => linesOf(program).filter(({ operation }) => operation === "getResource");
    await vi.waitUntil(() => served().length === 2, soon);
    expect(new Set(served().map(({ worker }) => worker))).toEqual(new Set([1, 2]));

    expect(await first("/api/token", token, "DELETE")).toBe(204);
    await untilRejected(async () => ({ status: await second("/api/resource", token) }));
    expect(await second("/api/resource", token)).toBe(401);
  });

  test("a killed worker is replaced; the delay grows while its replacements fail", async () => {
    const program = await startTwo();
    for (const pauseMs of [250, 500, 1_000]) {
      const serving = serveLines(program);
      const earlier = linesOf(program).length;
      process.kill(pidsOf(program).get(2) ?? 0, "SIGKILL");
      const end = () => linesOf(program).find(({ msg }, index) => index >= earlier && msg === "a worker ended");
      await vi.waitUntil(end, soon);
      expect(end()).toMatchObject({ worker: 2, signal: "SIGKILL", pauseMs });
      for (let count = 0; count < 4; count += 1) {
        expect((await program.send("GET", "/readyz")).status).toBe(200);
      }
      await vi.waitUntil(() => serveLines(program) === serving + 1, soon);
    }
    // The other one never ended.
    process.kill(pidsOf(program).get(1) ?? 0, "SIGKILL");
    await vi.waitUntil(() => linesOf(program).some(({ worker, pauseMs }) => worker === 1 && pauseMs === 250), soon);
  });

  test("serve again after both were killed", async () => {
    const port = await freePort();
    const program = await startTwo({ PORT: String(port) });
    for (const pid of pidsOf(program).values()) process.kill(pid, "SIGKILL");
    await vi.waitUntil(() => linesOf(program).filter(({ msg }) => msg === "a worker ended").length === 2, soon);
    // No request hangs: it is refused, or a replacement serves already.
    const answer = await program.send("GET", "/livez").then(({ status }) => String(status), String);
    expect(answer).toMatch(/^200$|ECONNREFUSED|ECONNRESET/);
    await vi.waitUntil(() => serveLines(program) === 4, soon);
    expect((await program.send("GET", "/readyz")).status).toBe(200);
  });

  test("end with their primary", async () => {
    const program = await startTwo();
    const pids = [...pidsOf(program).values()];
    program.process.kill("SIGKILL");
    await vi.waitUntil(() => !pids.some(isAlive), soon);
    await expect(program.send("GET", "/livez")).rejects.toThrow("ECONNREFUSED");
  });

  const tellGroup = (program: Program | Awaited<ReturnType<typeof startTwo>>) => {
    for (const pid of [...pidsOf(program).values(), program.process.pid ?? 0]) process.kill(pid, "SIGTERM");
  };

  test("stop together, also when the whole group gets the signal, after a grace period", async () => {
    const program = await startTwo({ SHUTDOWN_GRACE_SECONDS: "3" });
    const started = performance.now();
    tellGroup(program);
    expect(await program.exit).toBe(0);
    expect(performance.now() - started).toBeGreaterThanOrEqual(2_900);
    expect(linesOf(program).filter(({ msg }) => msg === "stopping")).toHaveLength(3);
    expect([...pidsOf(program).values()].filter(isAlive)).toEqual([]);
  });

  test("serve during the grace period, also when the whole group got the signal", async () => {
    const program = await startTwo({ SHUTDOWN_GRACE_SECONDS: "60" });
    tellGroup(program);
    await vi.waitUntil(() => linesOf(program).filter(({ msg }) => msg === "stopping").length === 3, soon);
    for (let count = 0; count < 4; count += 1) {
      expect(await program.send("GET", "/readyz")).toMatchObject({ status: 503, problem: "shutting-down" });
      expect((await program.send("GET", "/livez")).status).toBe(200);
    }
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
    expect([...pidsOf(program).values()].filter(isAlive)).toEqual([]);
  });

  test("skip the rest of the grace period at a second signal", async () => {
    const program = await startTwo({ SHUTDOWN_GRACE_SECONDS: "60" });
    program.process.kill("SIGTERM");
    await vi.waitUntil(() => linesOf(program).filter(({ msg }) => msg === "stopping").length === 3, soon);
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
  });

  test("are killed where one does not stop, and the exit status says so", async () => {
    const program = await startTwo();
    const [first = 0, second = 0] = pidsOf(program).values();
    process.kill(second, "SIGSTOP");
    program.process.kill("SIGINT");
    expect(await program.exit).toBe(70);
    expect([first, second].filter(isAlive)).toEqual([]);
  });

  test("share MAX_CONNECTIONS", async () => {
    const program = await startTwo({ MAX_CONNECTIONS: "4" });
    const ask = async (socket: Socket) => {
      socket.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
      const [answer] = await Promise.race([once(socket, "data"), once(socket, "close")]).catch(() => []); // it was reset
      return String(answer).startsWith("HTTP/1.1 200");
    };
    const sockets: Socket[] = [];
    for (let count = 0; count < 4; count += 1) {
      sockets.push(await open(program.url));
      expect(await ask(sockets.at(-1) as Socket)).toBe(true);
    }
    for (let count = 0; count < 4; count += 1) expect(await ask(await open(program.url))).toBe(false);
    for (const socket of sockets) expect(await ask(socket)).toBe(true);
    for (const socket of sockets) socket.destroy();
  });

  test("report metrics in one place, each with its number; a silent one is left out", async () => {
    const program = await startTwo({ METRICS_PORT: "0" });
    const metricsUrl = linesOf(program).find(({ msg }) => msg === "metrics")?.url ?? "";
    const read = async () => (await fetch(metricsUrl)).text();
    for (let count = 0; count < 4; count += 1) await program.send("GET", "/livez");
    const count = (worker: number) => `operation="getLiveness",status="200",problem="",worker="${worker}"} 2`;
    await vi.waitUntil(async () => (await read()).includes(count(2)), soon);
    const text = await read();
    expect(text).toContain(count(1));
    expect(text).toContain("latchkey_workers_serving 2\n");
    const ended = program.stdout.filter((line) => line.includes("a worker ended")).join("\n");
    expect(text, ended).toContain("latchkey_workers_ended_total 0\n");
    expect(text.match(/^# TYPE latchkey_info /gm)).toHaveLength(1);

    const second = pidsOf(program).get(2) ?? 0;
    process.kill(second, "SIGSTOP");
    const without = await read();
    expect(without).toContain(`latchkey_info{version="${version()}",worker="1"} 1`);
    expect(without).not.toContain('worker="2"');

    process.kill(second, "SIGKILL");
    await vi.waitUntil(async () => (await read()).includes("latchkey_workers_ended_total 1\n"), soon);
    let replaced = "";
    await vi.waitUntil(async () => {
      replaced = await read();
      return replaced.includes(`latchkey_info{version="${version()}",worker="2"} 1`);
    }, soon);
    expect(replaced).toContain("latchkey_workers_serving 2\n"); // the killed one does not count
  });

  test("stop, also during their start", async () => {
    const program = serveOn(await createDatabase(), { WORKERS: "3" });
    await program.url; // the first instance's
    const told = performance.now();
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
    expect(performance.now() - told).toBeLessThan(10_000);
  });
});

describe("a stopped worker (SIGSTOP)", { timeout: 60_000 }, () => {
  test("is replaced within seconds, counted, and gets no connections; metrics stay readable", async () => {
    const program = await startTwo({ METRICS_PORT: "0" });
    const metricsUrl = linesOf(program).find(({ msg }) => msg === "metrics")?.url ?? "";
    const second = pidsOf(program).get(2) ?? 0;
    process.kill(second, "SIGSTOP");
    const stopped = performance.now();
    const isReported = () => linesOf(program).some(({ msg }) => msg === "a worker does not respond");
    while (!isReported()) {
      expect(performance.now() - stopped).toBeLessThan(10_000);
      const asked = performance.now();
      expect(await (await fetch(metricsUrl)).text()).toContain('worker="1"');
      expect(performance.now() - asked).toBeLessThan(2_000);
    }
    await vi.waitUntil(() => !isAlive(second), soon);
    await vi.waitUntil(() => serveLines(program) === 3, soon);
    for (let count = 0; count < 8; count += 1) expect((await program.send("GET", "/readyz")).status).toBe(200);
    const text = await (await fetch(metricsUrl)).text();
    expect(text).toContain("latchkey_workers_unresponsive_total 1\n");
    expect(text).toContain("latchkey_workers_ended_total 1\n");
    expect(text).toContain("latchkey_workers_serving 2\n");
  });

  test("is not replaced where its primary was stopped", async () => {
    const program = await startTwo();
    const before = pidsOf(program);
    const { pid = 0 } = program.process;
    process.kill(pid, "SIGSTOP");
    await sleep(8_000); // longer than a worker's heartbeat timeout
    process.kill(pid, "SIGCONT");
    await sleep(3_000);
    expect(pidsOf(program)).toEqual(before);
    expect(linesOf(program).filter(({ msg }) => /not respond|ended/.test(msg))).toEqual([]);
    expect((await program.send("GET", "/readyz")).status).toBe(200);
  });
});

test("a worker that starts while Postgres is away logs one line and is restarted", async () => {
  const postgres = await startBreakablePostgres();
  const program = serveOn(postgres.url, { WORKERS: "2" });
  await program.url;
  await vi.waitUntil(() => pidsOf(program).size === 2, soon);
  await postgres.stop();
  const ended = () => linesOf(program).filter(({ msg }) => msg === "a worker ended");
  process.kill(pidsOf(program).get(2) ?? 0, "SIGKILL");
  await vi.waitUntil(() => ended().length >= 4, { timeout: 60_000, interval: 10 });
  for (const [index, line] of ended().slice(1, 4).entries()) {
    expect(line).toMatchObject({ worker: 2, status: 69, pauseMs: 500 * 2 ** index });
    expect(line.reason).toMatch(/^[A-Z][^\n]+\. Try again\.$/);
  }
  await postgres.start();
  await vi.waitUntil(() => serveLines(program) === 3, { timeout: 60_000, interval: 10 });
  expect(program.stderr).toEqual([]);
  expect(program.stdout.filter((line) => !line.startsWith("{"))).toEqual([]);
});

describe("a failed start says why once, with the exit status of a single process", { timeout: 60_000 }, () => {
  test("where the port is in use", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    afterTest(() => taken.close());
    const { port } = taken.address() as { port: number };
    const program = serveOn(await createDatabase(), { WORKERS: "2", PORT: String(port) });
    expect(await program.exit).toBe(69);
    expect(program.stderr).toEqual([expect.stringContaining(`PORT ${port}`)]);
  });

  test("where SECRET_KEY does not match", async () => {
    const databaseUrl = await createDatabase();
    const program = serveOn(databaseUrl);
    await program.url;
    program.process.kill("SIGINT");
    await program.exit;
    const other = serveOn(databaseUrl, { WORKERS: "2", SECRET_KEY: secretKey.toUpperCase() });
    expect(await other.exit).toBe(78);
    expect(other.stderr).toEqual([expect.stringContaining("SECRET_KEY")]);
  });

  test("where a worker is started by hand", async () => {
    const program = runProgram(["worker", "1", "1"], {});
    expect(await program.exit).toBe(64);
  });
});

test("the embedded Postgres belongs to the primary, and keeps the workers' writes", { timeout: 60_000 }, async () => {
  const folder = await temporaryFolder(0o755);
  const settings = { DATA_DIR: join(folder, "data"), WORKERS: "2" };
  for (const status of [201, 409]) {
    const program = runProgram([], settings);
    const send = createClient(await program.url);
    await vi.waitUntil(() => pidsOf(program).size === 2, soon);
    const json = { username: "miguel", password };
    expect((await untilNotOverloaded(() => send("POST", "/api/users", { json }))).status).toBe(status);
    expect((await send("GET", "/api/token", { basic: ["miguel", password] })).status).toBe(200);
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
  }
});
