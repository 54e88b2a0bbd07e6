/** Concurrent refreshes are safe: all get the same next refresh token. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const here = await startTestService({ DATABASE_POOL_MAX: "10" });
const there = await startTestService({ DATABASE_POOL_MAX: "10" }, here.databaseUrl);
await here.register("miguel");
const begin = async () => (await here.send("POST", "/api/sessions", { basic: ["miguel", password] })).json;
const refresh = (refresh_token: string, service = here) =>
  service.send("POST", "/api/token", { json: { refresh_token } });

test("200 rounds of 50 concurrent refreshes on two instances: one successor each", { timeout: 120_000 }, async () => {
  let { id, refresh_token } = await begin();
  for (let round = 0; round < 200; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => refresh(refresh_token, index % 2 === 0 ? here : there)),
    );
    expect(new Set(answers.map(({ status }) => status)), `round ${round}`).toEqual(new Set([200]));
    const successors = new Set(answers.map(({ json }) => json.refresh_token));
    expect(successors.size).toBe(1);
    [refresh_token] = successors;
  }
  const [row] = await here.sql("SELECT generation FROM sessions WHERE id = $1", [id]);
  expect(row?.["generation"]).toBe(200);
});

test("requests in flight do not end the session of a client that goes on with the first answer", async () => {
  for (let round = 0; round < 10; round += 1) {
    let { refresh_token } = await begin();
    const inFlight: ReturnType<typeof refresh>[] = [];
    for (let step = 0; step < 4; step += 1) {
      const asked = refresh_token;
      const many = Array.from({ length: 10 }, (_, index) => refresh(asked, index % 2 === 0 ? here : there));
      inFlight.push(...many);
      ({ refresh_token } = (await Promise.race(many)).json);
    }
    for (const { status } of await Promise.all(inFlight)) expect(status).toBe(200);
    expect((await refresh(refresh_token)).status).toBe(200);
  }
});

test("a refresh whose response was lost can be repeated", async () => {
  const { id, refresh_token } = await begin();
  const { hostname, port } = new URL(here.url);
  const body = JSON.stringify({ refresh_token });
  await new Promise<void>((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      const head = `POST /api/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
      socket.write(head + body, () => socket.destroy());
    }).on("close", () => resolve());
  });
  const generation = async () =>
    (await here.sql("SELECT generation FROM sessions WHERE id = $1", [id]))[0]?.["generation"];
  while ((await generation()) === 0); // it was used, and the response was not read
  const again = await refresh(refresh_token);
  expect(again.status).toBe(200);
  expect(await generation()).toBe(1);
  const oncemore = await refresh(refresh_token, there);
  expect(oncemore.json.refresh_token).toBe(again.json.refresh_token);
});

test("sessions end while others refresh and begin: none survives", { timeout: 60_000 }, async () => {
  for (let round = 0; round < 15; round += 1) {
    const { username } = await here.register();
    const basic: [string, string] = [username, password];
    const first = (await here.send("POST", "/api/sessions", { basic })).json;
    const endings = [
      () => there.send("DELETE", "/api/sessions", { bearer: first.access_token }),
      () => there.send("DELETE", "/api/users/me", { basic }),
      () =>
        there.send("PUT", "/api/users/me/password", {
          bearer: first.access_token,
          json: { current_password: password, new_password: "staple horse correct" },
        }),
    ];
    const ending = endings[round % 3] as () => ReturnType<typeof refresh>;
    const [ended, ...granted] = await Promise.all([
      ending(),
      refresh(first.refresh_token),
      refresh(first.refresh_token, there),
      here.send("POST", "/api/sessions", { basic }),
      there.send("POST", "/api/sessions", { basic }),
    ]);
    expect(ended?.status).toBe(204);
    // A sign-in that began after the end is no survivor, and only the old password could tell. So
    // everything granted in an earlier epoch must be rejected.
    const [row] = await here.sql("SELECT token_epoch FROM users WHERE username = $1", [username]);
    for (const { status, json } of granted) {
      expect(status).toBeLessThan(500);
      if (status >= 300) continue;
      const { epoch } = JSON.parse(Buffer.from(json.access_token.split(".")[1], "base64url").toString());
      if (epoch === row?.["token_epoch"]) continue;
      expect((await there.send("GET", "/api/resource", { bearer: json.access_token })).status).toBe(401);
      expect((await refresh(json.refresh_token, there)).status).toBe(401);
    }
  }
});

test("a session is revoked while it is refreshed: no token survives", async () => {
  for (let round = 0; round < 15; round += 1) {
    const first = await begin();
    const [revoked, ...granted] = await Promise.all([
      there.send("DELETE", "/api/token", { bearer: first.access_token }),
      refresh(first.refresh_token),
      refresh(first.refresh_token, there),
    ]);
    expect(revoked?.status).toBe(204);
    for (const { status, json } of granted) {
      if (status !== 200) continue;
      expect((await there.send("GET", "/api/resource", { bearer: json.access_token })).status).toBe(401);
      expect((await refresh(json.refresh_token)).status).toBe(401);
    }
  }
});
