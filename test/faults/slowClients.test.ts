/** A thousand slow clients are disconnected within 10 s, without affecting others. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { createClient, registerUser } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

const clients = 1_000;
const established = "01";

/** The client ports of all connections to a local port. */
function connectionsOf(port: number): string[] {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address = "", , state]) => address.endsWith(local) && state === established)
    .map(([, , remote = ""]) => remote);
}

/** Response times of a normal client, until `stop`. */
function goodClient(url: string, bearer: string): { stop(): Promise<number[]> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const headers = { authorization: `Bearer ${bearer}` };
      get(`${url}/api/resource`, { agent, headers, timeout: 5_000 }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`the good client got a ${answer.statusCode}`));
        answer.resume().once("end", resolve);
      }).once("error", reject);
    });
  const times: number[] = [];
  let isStopped = false;
  const asking = (async () => {
    while (!isStopped) {
      const started = performance.now();
      await ask();
      times.push(performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    agent.destroy();
    return times.sort((a, b) => a - b);
  })();
  asking.catch(() => {}); // stop() reports it
  return {
    stop() {
      isStopped = true;
      return asking;
    },
  };
}

describe("slowhttptest with a thousand connections", () => {
  execFileSync("which", ["slowhttptest"]); // from the Debian package of that name
  const json = ["-t", "POST", "-f", "application/json", "-s", "4096"];

  test.each([
    ["slow headers", "/api/resource", ["-H", "-i", "1"]],
    ["slow bodies", "/api/users", ["-B", "-i", "1", ...json]],
    ["slow reads of a long answer", "/docs", ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"]],
    ["slow reads of a short answer", "/livez", ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "1"]],
  ])("%s: each connection is gone within 10 s, a good client's p99 stays under 200 ms", async (_name, path, args) => {
    const program = runProgram([], { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey });
    const url = await program.url;
    const send = createClient(url);
    await registerUser(send, { username: "miguel", password });
    const { token } = (await send("GET", "/api/token", { basic: ["miguel", password] })).json;
    const port = Number(new URL(url).port);

    const good = goodClient(url, token);
    const attack = spawn(
      "slowhttptest",
      ["-c", String(clients), "-r", "500", "-l", "16", "-p", "3", ...args, "-u", `${url}${path}`],
      { cwd: tmpdir(), stdio: "ignore" },
    );
    afterTest(() => attack.kill("SIGKILL"));
    const ended = once(attack, "exit");
    const lives = new Map<string, { from: number; to: number }>();
    const deadline = performance.now() + 25_000;
    while (attack.exitCode === null && performance.now() < deadline) {
      const now = performance.now();
      for (const remote of connectionsOf(port)) lives.set(remote, { from: lives.get(remote)?.from ?? now, to: now });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    attack.kill("SIGKILL");
    await ended;
    const times = await good.stop();

    const [, ...seconds] = [...lives.values()].map(({ from, to }) => (to - from) / 1000).sort((a, b) => b - a); // without the normal client
    const p99 = times[Math.floor(times.length * 0.99)] as number;
    console.log({ path, connections: seconds.length, longestSeconds: seconds[0], requests: times.length, p99 });
    expect(seconds.length).toBeGreaterThan(clients * 0.9);
    expect(seconds[0]).toBeLessThan(10);
    expect(times.length).toBeGreaterThan(100);
    expect(p99).toBeLessThan(200);
  });
});
