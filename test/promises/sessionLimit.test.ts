/** The number of sessions per user is limited, also under concurrency. */
import { expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const limit = 3;
const here = await startTestService({ SESSIONS_PER_USER: String(limit) });
const there = await startTestService({ SESSIONS_PER_USER: String(limit) }, here.databaseUrl);
const begin = async (username: string, service = here) =>
  (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;
const live = async (username: string) =>
  (await here.send("GET", "/api/sessions", { basic: [username, password] })).json.sessions.map(
    ({ id }: { id: string }) => id,
  );

test("one more ends the user's oldest live session with its tokens", async () => {
  const [{ username }, other] = [await here.register(), await here.register()];
  const theirs = await begin(other.username);
  const [first, second, third] = [await begin(username), await begin(username), await begin(username)];
  await here.send("DELETE", `/api/sessions/${second.id}`, { basic: [username, password] });
  const fourth = await begin(username);
  expect(await live(username)).toEqual([fourth.id, third.id, first.id]);
  const fifth = await begin(username);
  expect(await live(username)).toEqual([fifth.id, fourth.id, third.id]);

  const refresh = ({ refresh_token }: typeof first) => here.send("POST", "/api/token", { json: { refresh_token } });
  expect((await here.send("GET", "/api/resource", { bearer: first.access_token })).problem).toBe("token-revoked");
  expect((await refresh(first)).problem).toBe("token-revoked");
  const ended = performance.now();
  while ((await there.send("GET", "/api/resource", { bearer: first.access_token })).status !== 401)
    expect(performance.now() - ended).toBeLessThan(1000);
  for (const tokens of [third, theirs]) {
    expect((await here.send("GET", "/api/resource", { bearer: tokens.access_token })).status).toBe(200);
    expect((await refresh(tokens)).status).toBe(200);
  }
});

test("concurrent sign-ins on two instances respect the limit exactly", async () => {
  for (let round = 0; round < 5; round += 1) {
    const { username } = await here.register();
    const begun = await Promise.all(Array.from({ length: 20 }, (_, n) => begin(username, n % 2 ? here : there)));
    expect(begun.filter(({ id }) => id)).toHaveLength(20);
    expect(await live(username)).toHaveLength(limit);
  }
});

test("a lowered limit applies from the next session on", async () => {
  const { username } = await here.register();
  for (let count = 0; count < limit; count += 1) await begin(username);
  const stricter = await startTestService({ SESSIONS_PER_USER: "1" }, here.databaseUrl);
  const last = await begin(username, stricter);
  expect(await live(username)).toEqual([last.id]);
});
