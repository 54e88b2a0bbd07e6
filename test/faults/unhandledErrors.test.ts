/** An unhandled error is logged, and the process shuts down: gracefully if possible. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, test, vi } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { createClient, registerUser } from "../support/client.ts";
import { type Program, serveOn } from "../support/process.ts";
import { createDatabase, password } from "../support/service.ts";

type Line = { level: number; msg: string; origin?: string; worker?: number; workerPid?: number; status?: number };
const linesOf = ({ stdout }: Pick<Program, "stdout">) => stdout.map((line) => JSON.parse(line) as Line);
const fatalLines = (program: Pick<Program, "stdout">) => linesOf(program).filter(({ level }) => level === 60);
const soon = { timeout: 15_000, interval: 10 };

/** The program, with a fault that SIGUSR2 triggers. */
async function start(failure: string, settings: Record<string, string> = {}) {
  const broken = { NODE_OPTIONS: "--import ./test/fixtures/failing.mjs", FAILURE: failure };
  const program = serveOn(await createDatabase(), { ...broken, ...settings });
  return { ...program, url: await program.url };
}

/** @param pid the primary's by default */
const breakDown = (program: Program | Awaited<ReturnType<typeof start>>, pid = program.process.pid) =>
  process.kill(pid ?? 0, "SIGUSR2");

describe("an unhandled error", { timeout: 60_000 }, () => {
  test.each([
    ["throw", "uncaughtException"],
    ["reject", "unhandledRejection"],
    ["reject with another value", "unhandledRejection"],
  ])(
    "(%s) is one line without what may be secret, and the end, with status 70, of what is in flight",
    async (failure, origin) => {
      const program = await start(failure, { SHUTDOWN_GRACE_SECONDS: "60" });
      // The dictionaries of passwords are loaded then.
      await registerUser(createClient(program.url), { username: "susan", password });
      const { hostname, port } = new URL(program.url);
      const socket = connect(Number(port), hostname);
      const body = JSON.stringify({ username: "miguel", password });
      socket.write(
        `POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
      );
      expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1.1 100/); // the request is in flight
      breakDown(program);
      await vi.waitUntil(() => linesOf(program).some(({ msg }) => msg === "stopping"), soon);
      socket.write(body);
      expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1.1 201 .*Connection: close/s);
      expect(await program.exit).toBe(70);
      expect(fatalLines(program)).toMatchObject([{ origin, msg: "an error was not handled" }]);
      expect(linesOf(program).map(({ msg }) => msg)).toContain("stopped");
      expect(program.stdout.join() + program.stderr.join()).not.toContain("a secret");
    },
  );

  test("that repeats does not fill the log or keep the process alive", async () => {
    const program = await start("throw again and again");
    breakDown(program);
    expect(await program.exit).toBe(70);
    expect(fatalLines(program).length).toBeLessThanOrEqual(10);
    expect(linesOf(program).map(({ msg }) => msg)).toContain("stopped");
  });

  test("ends the process when nobody reads the log", async () => {
    const program = await start("throw");
    program.process.stdout?.destroy();
    program.process.stderr?.destroy();
    breakDown(program);
    expect(await once(program.process, "exit")).toEqual([70, null]);
  });

  test.each(["at once", "later"])("ends the process when the log fails %s, and its exit, too", async (way) => {
    const child = spawn(process.execPath, ["test/fixtures/brokenLog.mjs", way], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    afterTest(() => child.kill("SIGKILL"));
    const [said, [status]] = await Promise.all([text(child.stderr), once(child, "exit")]);
    expect(status).toBe(70);
    if (way === "at once") expect(said).toMatch(/uncaughtException: .*"message":"a fault of the test"/);
    expect(said.length).toBeLessThan(10_000);
  });

  test("ends the process within a bounded time when it cannot stop", async () => {
    const program = await start("throw while servers do not close");
    const started = performance.now();
    breakDown(program);
    expect(await program.exit).toBe(70);
    expect(performance.now() - started).toBeLessThan(25_000);
    expect(fatalLines(program)).toHaveLength(1);
  });

  test("skips the grace period", async () => {
    const program = await start("throw", { SHUTDOWN_GRACE_SECONDS: "60" });
    program.process.kill("SIGTERM");
    await vi.waitUntil(() => linesOf(program).some(({ msg }) => msg === "stopping"), soon);
    breakDown(program);
    expect(await program.exit).toBe(70);
    expect(fatalLines(program)).toHaveLength(1);
  });

  test("of a worker ends that worker, which is replaced; of the primary ends all", async () => {
    const program = await start("throw", { WORKERS: "2" });
    const workers = () => linesOf(program).filter(({ msg }) => msg === "a worker serves");
    await vi.waitUntil(() => workers().length === 2, soon);
    const [first] = workers();
    breakDown(program, first?.workerPid);
    await vi.waitUntil(() => workers().length === 3, soon);
    expect(fatalLines(program)).toMatchObject([{ worker: first?.worker, origin: "uncaughtException" }]);
    expect(linesOf(program).find(({ msg }) => msg === "a worker ended")).toMatchObject({ status: 70 });
    expect((await createClient(program.url)("GET", "/livez")).status).toBe(200);

    breakDown(program);
    expect(await program.exit).toBe(70);
    expect(fatalLines(program)).toHaveLength(2);
    for (const { workerPid = 0 } of workers()) expect(() => process.kill(workerPid, 0)).toThrow("ESRCH");
  });
});
