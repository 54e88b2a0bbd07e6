/** Ten times more sign-ins than can be hashed, for a minute, do not slow down requests with tokens. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { basicAuthorization, createClient, registerUser } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

const floodSeconds = 60;

type Exchange = { status: number; problem: string; tookMs: number };

/** Minimal, since it shares the cores with the service. Other tests validate the responses. */
function sender(url: string) {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(url);
  return (path: string, headers: Record<string, string>): Promise<Exchange> =>
    new Promise((resolve) => {
      const began = performance.now();
      const outgoing = request({ agent, hostname, port, path, headers, timeout: 10_000 }, (incoming) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        incoming.on("end", () => {
          const problem = /"type":"\/problems\/([a-z-]+)"/.exec(text)?.[1] ?? "";
          resolve({ status: incoming.statusCode ?? 0, problem, tookMs: performance.now() - began });
        });
      });
      outgoing.on("timeout", () => outgoing.destroy(new Error("no answer in 10 s")));
      const failed = ({ message }: Error) =>
        resolve({ status: 0, problem: message, tookMs: performance.now() - began });
      outgoing.on("error", failed).end();
    });
}

/** Starts requests at a rate, without waiting for earlier ones, for the given time. */
async function steadily(perSecond: number, seconds: number, send: () => Promise<Exchange>): Promise<Exchange[]> {
  const exchanges: Promise<Exchange>[] = [];
  for (const began = performance.now(); performance.now() - began < seconds * 1000; await sleep(5)) {
    const due = ((performance.now() - began) / 1000) * perSecond;
    while (exchanges.length < due) exchanges.push(send());
  }
  return Promise.all(exchanges);
}

const percentile = (exchanges: Exchange[], share: number): number => {
  const times = exchanges.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
};
const peakMemoryMiB = (pid: number | undefined) =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

test("bearer requests stay fast, excess sign-ins are rejected within a second, and memory is bounded", async () => {
  const program = runProgram([], {
    DATABASE_URL: await createDatabase(),
    SECRET_KEY: secretKey,
    TRUST_PROXY: "1",
    THROTTLE_REGISTRATIONS: "1000",
  });
  const url = await program.url;
  const client = createClient(url);
  const send = sender(url);
  const usernames = Array.from({ length: 200 }, (_, index) => `user${index}`);
  for (const username of usernames) await registerUser(client, { username, password });
  const { token } = (await client("GET", "/api/token", { basic: ["user0", password] })).json;

  let count = 0;
  // Right passwords and guesses from many addresses: as many as possible must be hashed.
  const signIn = (): Promise<Exchange> => {
    count += 1;
    const username = count % 2 ? (usernames[count % usernames.length] as string) : `nobody${count}`;
    const from = `10.${count % 250}.${Math.floor(count / 250) % 250}.1`;
    const authorization = basicAuthorization([username, count % 3 ? "wrong password" : password]);
    return send("/api/token", { authorization, "x-forwarded-for": from });
  };
  const withToken = () => send("/api/resource", { authorization: `Bearer ${token}` });

  const alone = await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      const checked: Exchange[] = [];
      for (const began = performance.now(); performance.now() - began < 3000; ) checked.push(await signIn());
      return checked;
    }),
  );
  const capacity = alone.flat().filter(({ status }) => status === 401 || status === 200).length / 3;

  // Warms up the compiler, for the service and for this test.
  await steadily(capacity * 10, 5, signIn);
  const [flood, bearer] = await Promise.all([
    steadily(capacity * 10, floodSeconds, signIn),
    steadily(20, floodSeconds, withToken),
  ]);

  const kinds = new Map<string, number>();
  for (const { status, problem } of flood) {
    kinds.set(`${status} ${problem}`, (kinds.get(`${status} ${problem}`) ?? 0) + 1);
  }
  const refused = flood.filter(({ status }) => status === 429 || status === 503);
  console.info(
    `${capacity.toFixed()} sign-ins a second alone; flood of ${(flood.length / floodSeconds).toFixed()} a second: ${[...kinds].map(([kind, n]) => `${kind} ${n}`).join(", ")}; ` +
      `refused p99 ${percentile(refused, 0.99).toFixed()} ms, slowest ${percentile(refused, 1).toFixed()} ms; ` +
      `bearer p50 ${percentile(bearer, 0.5).toFixed(1)} ms, p99 ${percentile(bearer, 0.99).toFixed()} ms; ` +
      `peak memory ${peakMemoryMiB(program.process.pid).toFixed()} MiB`,
  );
  expect(bearer.every(({ status }) => status === 200)).toBe(true);
  expect(percentile(bearer, 0.99)).toBeLessThan(250);
  expect(
    [...kinds.keys()].filter(
      (kind) => !/^(200 |401 invalid-credentials|429 too-many-requests|503 overloaded)$/.test(kind),
    ),
  ).toEqual([]);
  expect(percentile(refused, 0.99)).toBeLessThan(1000);
  expect(peakMemoryMiB(program.process.pid)).toBeLessThan(512);
  expect((await client("GET", "/api/token", { basic: ["user0", password] })).status).toBe(200);
});
