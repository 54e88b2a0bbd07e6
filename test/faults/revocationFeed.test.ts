/** Followers of the revocation list, while the database is replaced, workers stop, and a thousand of them wait. */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient, registerUser } from "../support/client.ts";
import { createFollower, revocationsAfter } from "../support/follower.ts";
import { freePort } from "../support/ports.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase, password, query, startTestService } from "../support/service.ts";

const soon = { timeout: 20_000, interval: 20 };
const insert = `INSERT INTO latchkey.revocations (subject, minimum_epoch, expires_at)
  VALUES ($1, 1, now() + interval '1 hour')`;
const followersIn = (text: string) =>
  [...text.matchAll(/^latchkey_revocation_followers(?:\{.*\})? (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0);

test("a restart of the database loses no entry: the follower starts again and gets all of them", {
  timeout: 60_000,
}, async () => {
  const postgres = await startBreakablePostgres();
  const services = [await startTestService({}, postgres.url), await startTestService({}, postgres.url)] as const;
  const basic = await services[0].administrator();
  const follower = createFollower({ basic });
  await follower.catchUp(services[0].send);
  const entry = async (subject: string) => query(postgres.connection, insert, [subject]);
  await entry("before the restart");
  await follower.poll(services[0].send, 10);
  expect(follower.minimumEpochs.has("before the restart")).toBe(true);

  for (const round of [1, 2]) {
    const waiting = follower.poll(services[1].send, 10);
    await entry(`unread ${round}`);
    await waiting;
    await postgres.crash();
    await postgres.start();
    await entry(`after restart ${round}`);
    follower.minimumEpochs.clear();
    await vi.waitUntil(async () => {
      const { status } = await follower.poll(services[round % 2 === 0 ? 0 : 1].send, 1);
      expect([200, 410, 500, 503]).toContain(status);
      return status === 200 && follower.minimumEpochs.has(`after restart ${round}`);
    }, soon);
    expect(follower.restarts).toBe(round);
    expect(follower.minimumEpochs.has(`unread ${round}`)).toBe(true);
    expect(follower.minimumEpochs.has("before the restart")).toBe(true);
  }
});

test("after SIGTERM, the followers of all workers get a response at once, and the next ones are paced", {
  timeout: 60_000,
}, async () => {
  const databaseUrl = await createDatabase();
  const metricsPort = String(await freePort());
  const program = serveOn(databaseUrl, { WORKERS: "2", METRICS_PORT: metricsPort, SHUTDOWN_GRACE_SECONDS: "60" });
  const url = await program.url;
  const send = createClient(url);
  const { id } = await registerUser(send, { username: "administrator", password });
  await query(databaseUrl, "INSERT INTO latchkey.user_roles (user_id, role) VALUES ($1, 'administrator')", [id]);
  const follower = createFollower({ basic: ["administrator", password] });
  await vi.waitUntil(async () => (await follower.poll(send)).status === 200, soon);
  await vi.waitUntil(async () => (await follower.poll(send)).json.has_more === false, soon);
  const { cursor } = follower;
  const bearer = (await send("GET", "/api/token", { basic: ["administrator", password] })).json.token;
  const waiting = Array.from({ length: 8 }, () => send("GET", revocationsAfter(cursor, 14), { bearer }));
  const metrics = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  await vi.waitUntil(async () => followersIn(await metrics()) === 8, soon);

  const began = performance.now();
  program.process.kill("SIGTERM");
  for (const answer of await Promise.all(waiting)) {
    expect(answer).toMatchObject({ status: 200, json: { entries: [], has_more: false } });
  }
  expect(performance.now() - began).toBeLessThan(1_500);
  // A client that has no other instance does not send requests in a tight loop.
  const again = performance.now();
  const paced = await send("GET", revocationsAfter(cursor, 14), { bearer });
  expect(paced).toMatchObject({ status: 200, json: { entries: [] } });
  expect(performance.now() - again).toBeGreaterThan(900);
  const endedGrace = performance.now();
  program.process.kill("SIGTERM");
  expect(await program.exit).toBe(0);
  expect(performance.now() - endedGrace).toBeLessThan(5_000);
});

test("a thousand followers wait on one instance for less than 100 MB, and all get the next entry", {
  timeout: 120_000,
}, async () => {
  const databaseUrl = await createDatabase();
  const metricsPort = String(await freePort());
  const program = serveOn(databaseUrl, { METRICS_PORT: metricsPort, MAX_CONNECTIONS_PER_NETWORK: "2000" });
  const url = await program.url;
  const send = createClient(url);
  const { id } = await registerUser(send, { username: "administrator", password });
  await query(databaseUrl, "INSERT INTO latchkey.user_roles (user_id, role) VALUES ($1, 'administrator')", [id]);
  const bearer = (await send("GET", "/api/token", { basic: ["administrator", password] })).json.token;
  const follower = createFollower({ bearer });
  await follower.catchUp(send);
  const metrics = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const memory = async () => Number(/^process_resident_memory_bytes (\S+)$/m.exec(await metrics())?.[1]);
  await sleep(1_000); // the memory of the start is released
  const before = await memory();
  const { cursor } = follower;
  // Not `send`, which validates each response: that takes longer than the responses themselves.
  const answers = Array.from({ length: 1_000 }, async () => {
    const headers = { authorization: `Bearer ${bearer}` };
    const [response] = (await once(get(url + revocationsAfter(cursor, 30), { headers }), "response")) as [
      IncomingMessage,
    ];
    return { atMs: performance.now(), entries: JSON.parse(await text(response)).entries };
  });
  await vi.waitUntil(async () => followersIn(await metrics()) === 1_000, soon);
  expect((await memory()) - before).toBeLessThan(100_000_000);

  await query(databaseUrl, insert, ["for everyone"]);
  const began = performance.now();
  const times: number[] = [];
  for (const { entries, atMs } of await Promise.all(answers)) {
    expect(entries).toMatchObject([{ subject: "for everyone" }]);
    times.push(atMs - began);
  }
  // Half of them, because a thousand clients on the same machine take longer than the service.
  expect(times.sort((a, b) => a - b)[500]).toBeLessThan(1_000);
});
