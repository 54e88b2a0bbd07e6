/** A log that cannot be written loses lines, which are counted. The service keeps serving, and logs again as soon as it can. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync } from "node:fs";
import { readFile, truncate } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { createLogDestination } from "../../src/observability/logDestination.ts";
import { afterTest } from "../support/afterTest.ts";
import { type Client, createClient } from "../support/client.ts";
import { freePort, freePorts } from "../support/ports.ts";
import { createDatabase, secretKey } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const soon = { timeout: 15_000, interval: 50 };
/** The grace period is 0. Closing takes less than a second, and flushing the log up to one more. */
const stopsWithinMs = 4_000;

type Served = {
  pid: number;
  send: Client;
  dropped(): Promise<number>;
  /** Sends requests, each with a log line, and expects responses. */
  serve(requests: number): Promise<void>;
  stop(): Promise<void>;
};

/** Starts the program with its output redirected by a shell. */
async function serveInto(redirection: string, settings: Record<string, string> = {}, prefix = ""): Promise<Served> {
  const [port, metricsPort] = await freePorts(2);
  const child = spawn("sh", ["-c", `exec ${prefix} "$0" dist/src/main.js ${redirection}`, process.execPath], {
    env: {
      PATH: process.env["PATH"] ?? "",
      PORT: String(port),
      METRICS_PORT: String(metricsPort),
      DATABASE_URL: await createDatabase(),
      SECRET_KEY: secretKey,
      SHUTDOWN_GRACE_SECONDS: "0",
      ...settings,
    },
    stdio: "ignore",
  });
  afterTest(() => child.kill("SIGKILL"));
  const exit = once(child, "exit");
  const send = createClient(`http://127.0.0.1:${port}`);
  const processes = settings["WORKERS"] ? 1 + Number(settings["WORKERS"]) : 1;
  const readDropped = async () => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    return [...text.matchAll(/^latchkey_log_lines_dropped_total(?:\{.*\})? (\d+)$/gm)].map(([, value]) =>
      Number(value),
    );
  };
  await vi.waitUntil(
    () =>
      readDropped()
        .then(({ length }) => length === processes)
        .catch(() => false),
    soon,
  );
  return {
    pid: child.pid ?? 0,
    send,
    async dropped() {
      let values: number[] = [];
      // A busy worker is left out.
      await vi.waitUntil(async () => {
        values = await readDropped();
        return values.length === processes;
      }, soon);
      return values.reduce((sum, value) => sum + value, 0);
    },
    async serve(requests) {
      for (let count = 0; count < requests; count += 1) expect((await send("GET", "/livez")).status).toBe(200);
    },
    async stop() {
      const told = performance.now();
      child.kill("SIGTERM");
      expect(await exit).toEqual([0, null]);
      expect(performance.now() - told).toBeLessThan(stopsWithinMs);
    },
  };
}

/** Reads from a named pipe until `stop`. `last` is the end of the text. */
function readPipe(path: string): { text(): string; last(): string; stop(): void } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true });
  const chunks: string[] = [];
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    chunks.push(chunk);
  });
  return { text: () => chunks.join(""), last: () => chunks.slice(-2).join(""), stop: () => void socket.destroy() };
}

async function namedPipe(): Promise<string> {
  const path = join(await temporaryFolder(), "pipe");
  execFileSync("mkfifo", [path]);
  return path;
}

type Line = { msg: string; dropped?: number; level: number };
const linesOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
const isJson = (line: string) => {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
};
const droppedIn = (lines: Line[]) => lines.reduce((sum, { dropped = 0 }) => sum + dropped, 0);

describe.each([{}, { WORKERS: "2" }])("with %j", { timeout: 90_000 }, (settings) => {
  test("a full device: requests are served, dropped lines are counted, SIGTERM works", async () => {
    const program = await serveInto("> /dev/full 2> /dev/full", settings);
    await program.serve(20);
    await vi.waitUntil(async () => (await program.dropped()) >= 20, soon);
    await program.stop();
  });

  test("a file at its size limit, until it is raised: lines are complete, and one says how many were dropped", async () => {
    const file = join(await temporaryFolder(), "log");
    const limit = 8_000;
    const program = await serveInto(`>> ${file}`, settings, `prlimit --fsize=${limit}:unlimited`);
    await vi.waitUntil(async () => {
      await program.serve(10);
      return (await program.dropped()) > 0;
    }, soon);
    expect((await readFile(file)).length).toBe(limit);
    const lost = await program.dropped();
    const children = await readFile(`/proc/${program.pid}/task/${program.pid}/children`, "utf8");
    for (const pid of [program.pid, ...children.split(" ").filter(Boolean)]) {
      execFileSync("prlimit", ["--fsize=unlimited", `--pid=${pid}`]);
    }
    await vi.waitUntil(async () => (await readFile(file, "utf8")).includes('"dropped"'), soon);
    await program.serve(10);
    await program.stop();
    const text = await readFile(file, "utf8");
    const all = text.split("\n");
    const whole = all.filter((line) => line === "" || isJson(line));
    // With several processes, another one may write between the two parts of the line that was cut.
    expect(all.length - whole.length).toBeLessThanOrEqual(settings.WORKERS ? 2 : 0);
    const lines = linesOf(whole.join("\n"));
    expect(lines.find(({ dropped }) => dropped)).toMatchObject({ level: 40, msg: expect.stringContaining("dropped") });
    expect(droppedIn(lines)).toBeGreaterThanOrEqual(lost);
    expect(lines.at(-1)?.msg).toBe("stopped");
  });

  test("a pipe without a reader, until there is one", async () => {
    const pipe = await namedPipe();
    const first = readPipe(pipe);
    const program = await serveInto(`> ${pipe}`, settings);
    await vi.waitUntil(() => first.text().includes("listening"), soon);
    first.stop();
    await program.serve(20);
    await vi.waitUntil(async () => (await program.dropped()) > 0, soon);
    const second = readPipe(pipe);
    const lines = () => linesOf(second.text().replace(/[^\n]*$/, ""));
    await vi.waitUntil(async () => droppedIn(lines()) === (await program.dropped()), soon);
    await program.serve(10);
    await program.stop();
    expect(lines().filter(({ msg }) => msg === "request completed").length).toBeGreaterThanOrEqual(10);
    expect(lines().at(-1)?.msg).toBe("stopped");
    second.stop();
  });

  test("a pipe that nobody reads: lines wait for the reader, and none is lost", async () => {
    const pipe = await namedPipe();
    const idle = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const program = await serveInto(`> ${pipe}`, settings);
    await program.serve(500); // twice the capacity of a pipe
    const reader = readPipe(pipe);
    closeSync(idle);
    await vi.waitUntil(() => linesOf(reader.text().replace(/[^\n]*$/, "")).length > 500, soon);
    expect(await program.dropped()).toBe(0);
    await program.stop();
    const lines = linesOf(reader.text());
    expect(lines.filter(({ msg }) => msg === "request completed").length).toBeGreaterThanOrEqual(500);
    expect(lines.at(-1)?.msg).toBe("stopped");
    reader.stop();
  });

  test("a pipe that nobody reads does not delay SIGTERM", async () => {
    const pipe = await namedPipe();
    const idle = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    afterTest(() => closeSync(idle));
    const program = await serveInto(`> ${pipe} 2>&1`, settings);
    await program.serve(500);
    await program.stop();
  });
});

const terminal = `
import fcntl, os, pty, subprocess, sys, termios
program, mode = sys.argv[1:]
master, slave = pty.openpty()
def begin():
    os.setsid()
    if mode == "hung up": fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
child = subprocess.Popen([program, "dist/src/main.js"], stdin=slave, stdout=slave, stderr=slave, preexec_fn=begin)
os.close(slave)
seen = b""
while b"listening" not in seen.lower(): seen += os.read(master, 65536)
print("ready", child.pid, flush=True)
if mode != "that nobody reads": os.close(master)
sys.exit(child.wait() % 256)
`;

describe("a terminal", { timeout: 60_000 }, () => {
  async function serveOnTerminal(mode: string, settings: Record<string, string> = {}) {
    const port = await freePort();
    const python = spawn("python3", ["-c", terminal, process.execPath, mode], {
      env: {
        PATH: process.env["PATH"] ?? "",
        PORT: String(port),
        DATABASE_URL: await createDatabase(),
        SECRET_KEY: secretKey,
        SHUTDOWN_GRACE_SECONDS: "0",
        ...settings,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exit = once(python, "exit");
    const [ready] = await once(python.stdout, "data");
    const pid = Number(String(ready).split(" ")[1]);
    afterTest(() => python.exitCode ?? process.kill(pid, "SIGKILL"));
    return { pid, exit, send: createClient(`http://127.0.0.1:${port}`) };
  }

  test.each(["closed", "that nobody reads"])(
    "%s: requests are answered, and SIGTERM ends the program",
    async (mode) => {
      const { pid, exit, send } = await serveOnTerminal(mode);
      for (let count = 0; count < 300; count += 1) expect((await send("GET", "/livez")).status).toBe(200);
      const told = performance.now();
      process.kill(pid, "SIGTERM");
      expect(await exit).toEqual([0, null]);
      expect(performance.now() - told).toBeLessThan(stopsWithinMs);
    },
  );

  test.each(["1", "2"])("hung up: it stops like after SIGINT, with WORKERS=%s", async (WORKERS) => {
    const { exit } = await serveOnTerminal("hung up", { WORKERS, SHUTDOWN_GRACE_SECONDS: "60" });
    expect(await exit).toEqual([0, null]);
  });
});

describe("standard error", { timeout: 30_000 }, () => {
  const run = (redirection: string, args: string, settings: Record<string, string>) =>
    spawnSync("sh", ["-c", `exec "$0" dist/src/main.js ${args} ${redirection}`, process.execPath], {
      env: { PATH: process.env["PATH"] ?? "", ...settings },
      encoding: "utf8",
      timeout: 20_000,
    });

  test.each(["2> /dev/full", "2>&-"])("%s: the exit status still says what is wrong", (redirection) => {
    expect(run(redirection, "dance", {}).status).toBe(64);
    expect(run(redirection, "", { PORT: "eighty" }).status).toBe(78);
  });

  test("the log of `keys` is lost on a full device, and the command does its work", async () => {
    const settings = { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey };
    const rotated = run("2> /dev/full", "keys rotate", settings);
    expect(rotated).toMatchObject({ status: 0, stdout: expect.stringMatching(/^[\w-]{43}\n$/) });
    expect(run("", "keys list", settings).stdout).toContain(rotated.stdout.trim());
  });
});

describe("the destination", () => {
  const line = `${"x".repeat(999)}\n`;

  test("buffers 64 MiB for a slow reader, and reports how many lines were dropped", {
    timeout: 60_000,
  }, async () => {
    const pipe = await namedPipe();
    const idle = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const fd = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
    const reports: number[] = [];
    const log = createLogDestination(fd, (dropped) => {
      reports.push(dropped);
      log.write(`report ${dropped}\n`);
    });
    for (let count = 0; count < 70_000; count += 1) log.write(line);
    const dropped = log.dropped();
    expect(70_000 - dropped).toBe(Math.floor(67_108_864 / line.length));
    const reader = readPipe(pipe);
    closeSync(idle);
    await vi.waitUntil(() => reader.last().endsWith(`report ${dropped}\n`), { timeout: 50_000, interval: 50 });
    expect(reports).toEqual([dropped]);
    const lines = reader.text().split("\n").slice(0, -2);
    expect(lines.length).toBe(70_000 - dropped);
    expect(lines.every((one) => one.length === 999)).toBe(true);
    reader.stop();
    closeSync(fd);
  });

  test("ends a line that was cut where its file was truncated since", async () => {
    const file = join(await temporaryFolder(), "log");
    const full = "x".repeat(100);
    const script = `
      import { openSync } from "node:fs";
      import { createLogDestination } from "./dist/src/observability/logDestination.js";
      const log = createLogDestination(openSync(process.argv[1], "a"), (dropped) => log.write("report " + dropped + "\\n"));
      for (let count = 0; count < 3; count += 1) log.write("${full}\\n");
      setInterval(() => log.dropped() > 0 && console.log("dropped"), 20);`;
    const child = spawn(
      "prlimit",
      ["--fsize=150:unlimited", process.execPath, "--input-type=module", "-e", script, file],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    afterTest(() => child.kill("SIGKILL"));
    // Not only the first write, which writes a part, but also the second one, which fails.
    await once(child.stdout, "data");
    expect((await readFile(file)).length).toBe(150);
    await truncate(file, 0);
    await vi.waitUntil(async () => (await readFile(file, "utf8")) === "report 2\n", soon);
  });
});
