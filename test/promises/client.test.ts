/** The TypeScript client stays signed in, gives up only an ended session, and repeats only what is safe to repeat. */
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import {
  basicAuthorization,
  ProblemError,
  retryAfterSeconds,
  slugOf,
  UnexpectedAnswerError,
  unwrap,
} from "../../packages/client/src/index.ts";
import { type Answering, clientsOf, count, gate, isRefresh, network, serve } from "../support/clients.ts";
import { password, startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
const { open, openSignedIn, expire, key } = clientsOf(service);

const generationOf = async (username: string) => {
  const query =
    "SELECT generation FROM sessions JOIN users ON users.id = user_id WHERE username = $1 ORDER BY sessions.id";
  return (await service.sql(query, [username])).map(({ generation }) => generation);
};

/** Lets time pass for a user's sessions in the database, and expires access tokens. */
async function pass(username: string, interval: string) {
  expire();
  await service.sql(
    `UPDATE sessions SET recent_rotations = ARRAY(SELECT at - $2::interval FROM unnest(recent_rotations) AS at),
       idle_expires_at = idle_expires_at - $2::interval WHERE user_id = (SELECT id FROM users WHERE username = $1)`,
    [username, interval],
  );
}

const greet = ({ latchkey }: Pick<ReturnType<typeof open>, "latchkey">) => latchkey.GET("/api/resource");

/** Responds to the requests with these in turn, and to all later ones with the last. */
async function scripted(...answers: ((response: ServerResponse) => void)[]) {
  let requests = 0;
  const baseUrl = await serve((_request, response) => answers[Math.min(requests++, answers.length - 1)]?.(response));
  return { baseUrl, requests: () => requests };
}

const problem =
  (slug: string, status: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    response
      .writeHead(status, { "Content-Type": "application/problem+json", ...headers })
      .end(JSON.stringify({ type: `/problems/${slug}`, title: slug, status, instance: "urn:uuid:0" }));
const alive = (response: ServerResponse) =>
  response.writeHead(200, { "Content-Type": "application/json" }).end('{"status":"ok"}');
const html =
  (status: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    response.writeHead(status, { "Content-Type": "text/html", ...headers }).end("<h1>A proxy</h1>");
const hangUp = (response: ServerResponse) => response.destroy();

describe("signing in", () => {
  test("the token is sent to operations that accept it, and to no others", async () => {
    const authorizations: (string | null)[] = [];
    const { latchkey, username } = await openSignedIn({
      answering: (request) => {
        authorizations.push(request.headers.get("Authorization"));
        return network(request);
      },
    });
    expect(unwrap(await latchkey.GET("/api/resource"))).toEqual({ data: `Hello, ${username}!` });
    expect(unwrap(await latchkey.GET("/livez"))).toEqual({ status: "ok" });
    expect(authorizations).toEqual([expect.stringMatching(/^Basic /), expect.stringMatching(/^Bearer /), null]);
  });

  test.each([
    ["zoë:", "not registered"],
    ["żółw-🐢", "пароль с ключом 🔑"],
    ["日本語", "ひらがなとカタカナ ÿ"],
  ])("as %s with %s", async (username, secret) => {
    const { latchkey, ended } = open();
    const { error } = await latchkey.POST("/api/users", { body: { username, password: secret } });
    const result = await latchkey.signIn(username, secret);
    if (error) expect(result.error?.type).toBe("/problems/invalid-credentials");
    else expect(unwrap(await latchkey.GET("/api/users/me")).username).toBe(username);
    expect(ended).toEqual([]);
  });

  test("a wrong password fails the call and changes nothing", async () => {
    const { latchkey, username, ended } = await openSignedIn();
    const { error } = await latchkey.signIn(username, "wrong password");
    expect(error && slugOf(error)).toBe("invalid-credentials");
    expect((await latchkey.GET("/api/resource")).error).toBeUndefined();
    expect(ended).toEqual([]);
  });

  test("the caller's own credentials are not replaced", async () => {
    const { latchkey, sent, ended } = await openSignedIn();
    const { username } = await service.register();
    const Authorization = basicAuthorization(username, password);
    expect(unwrap(await latchkey.GET("/api/users/me", { headers: { Authorization } })).username).toBe(username);
    expire();
    const refused = await latchkey.GET("/api/users/me", { headers: { Authorization: "Bearer x.y.z" } });
    expect(refused.error?.type).toBe("/problems/invalid-token");
    expect(sent).toEqual(["GET /api/users/me", "GET /api/users/me"]);
    expect(ended).toEqual([]);
  });
});

describe("an expired access token", () => {
  test("concurrent rejected calls share one refresh, and each is sent once more", async () => {
    const opened = await openSignedIn();
    expire();
    const results = await Promise.all(Array.from({ length: 20 }, () => greet(opened)));
    expect(results.map((result) => unwrap(result).data)).toEqual(Array(20).fill(`Hello, ${opened.username}!`));
    expect(count(opened.sent, "POST /api/token")).toBe(1);
    expect(count(opened.sent, "GET /api/resource")).toBe(40);
    expect(await generationOf(opened.username)).toEqual([1]);
  });

  test("is refreshed before a call where the client knows that it has expired", async () => {
    const opened = await openSignedIn({
      retry: { withinSeconds: 0 },
      answering: async (request) => {
        const response = await network(request);
        if (!request.url.endsWith("/api/sessions")) return response;
        const tokens = (await response.json()) as object;
        return Response.json({ ...tokens, expires_in: 0 }, { status: response.status });
      },
    });
    const results = await Promise.all([greet(opened), greet(opened)]);
    for (const { error } of results) expect(error).toBeUndefined();
    expect(opened.sent).toEqual(["POST /api/token", "GET /api/resource", "GET /api/resource"]);
  });

  test("a call is sent again with its body", async () => {
    const { latchkey, sent } = await openSignedIn();
    expire();
    const { error } = await latchkey.changePassword("wrong password", "staple horse correct");
    expect(error?.type).toBe("/problems/invalid-credentials");
    expect(sent).toEqual(["PUT /api/users/me/password", "POST /api/token", "PUT /api/users/me/password"]);
  });

  test("a refresh whose response was lost is repeated", async () => {
    let losses = 0;
    const opened = await openSignedIn({
      answering: async (request) => {
        const response = await network(request);
        if (!isRefresh(request) || losses > 0) return response;
        losses += 1;
        throw new TypeError("the answer was lost");
      },
    });
    expire();
    expect((await greet(opened)).error).toBeUndefined();
    expect(count(opened.sent, "POST /api/token")).toBe(2);
    expect(await generationOf(opened.username)).toEqual([1]);
    expire();
    expect((await greet(opened)).error).toBeUndefined();
    expect(opened.ended).toEqual([]);
  });

  test("an aborted call does not abort the refresh for others", async () => {
    const asked = gate();
    const answers = gate();
    const opened = await openSignedIn({
      answering: async (request) => {
        if (isRefresh(request)) {
          asked.open();
          await answers.opened;
        }
        return network(request);
      },
    });
    expire();
    const reason = new Error("the page was left");
    const controller = new AbortController();
    const impatient = opened.latchkey.GET("/api/resource", { signal: controller.signal });
    const patient = greet(opened);
    await asked.opened;
    controller.abort(reason);
    await expect(impatient).rejects.toBe(reason);
    answers.open();
    expect((await patient).error).toBeUndefined();
  });
});

describe("an ended session", () => {
  test.each<[string, string, (username: string, items: Map<string, string>) => unknown]>([
    [
      "ended elsewhere",
      "token-revoked",
      (username) => service.send("DELETE", "/api/sessions", { basic: [username, password] }),
    ],
    ["idle for too long", "token-expired", (username) => pass(username, "15 days")],
    [
      "of which somebody has a copy",
      "token-reused",
      async (username, items) => {
        await service.send("POST", "/api/token", { json: { refresh_token: items.get(key) } });
        await pass(username, "11 seconds");
      },
    ],
  ])("one %s is said once, as %s", async (_name, slug, end) => {
    const opened = await openSignedIn();
    await end(opened.username, opened.items);
    const results = await Promise.all([greet(opened), greet(opened), greet(opened)]);
    // Each call gets its own response.
    for (const { response } of results) expect(response.status).toBe(401);
    expect(opened.ended.map((refusal) => refusal && slugOf(refusal))).toEqual([slug]);
    expect(opened.items.size).toBe(0);
    opened.sent.length = 0;
    expect((await greet(opened)).error?.type).toBe("/problems/authentication-required");
    expect(opened.sent).toEqual(["GET /api/resource"]);
    expect(opened.ended.length).toBe(1);
  });

  test.each([
    ["invalid-token", "not one of ours"],
    ["invalid-request", "x".repeat(300)],
  ])("%s for something else in the storage", async (slug, stored) => {
    const opened = open({ items: new Map([[key, stored]]) });
    expect((await greet(opened)).error?.type).toBe("/problems/authentication-required");
    expect(opened.ended.map((refusal) => refusal && slugOf(refusal))).toEqual([slug]);
    expect(opened.items.size).toBe(0);
  });

  test("is not assumed where the service has no database", async () => {
    const { items } = await openSignedIn();
    const stored = items.get(key);
    const opened = open({ items, retry: { tries: 1 } });
    await service.withoutDatabase(async () => {
      const results = await Promise.all([greet(opened), greet(opened)]);
      for (const { error, response } of results) {
        expect(error?.type).toBe("/problems/database-unavailable");
        expect(retryAfterSeconds(response)).toBe(2);
      }
    });
    expect(opened.sent).toEqual(["POST /api/token"]);
    expect(items.get(key)).toBe(stored);
    expect(opened.ended).toEqual([]);
    expect((await greet(opened)).error).toBeUndefined();
  });

  test("is not assumed after a broken connection or a proxy's response", async () => {
    let away: Answering | undefined;
    const opened = await openSignedIn({
      answering: (request) => (away && isRefresh(request) ? away(request) : network(request)),
    });
    expire();
    away = () => Promise.reject(new TypeError("fetch failed"));
    await expect(greet(opened)).rejects.toThrow("fetch failed");
    expect(count(opened.sent, "POST /api/token")).toBe(3);
    away = async () => new Response("<h1>Bad Gateway</h1>", { status: 502 });
    await expect(greet(opened)).rejects.toThrow(UnexpectedAnswerError);
    away = undefined;
    expect((await greet(opened)).error).toBeUndefined();
    expect(opened.ended).toEqual([]);
  });
});

describe("signing out", () => {
  test("ends the session at the service and in the client", async () => {
    const { latchkey, items, ended, username } = await openSignedIn();
    const stolen = items.get(key);
    expect((await latchkey.signOut()).error).toBeUndefined();
    expect(ended).toEqual([undefined]);
    expect(items.size).toBe(0);
    const refused = await service.send("POST", "/api/token", { json: { refresh_token: stolen } });
    expect(refused.problem).toBe("token-revoked");
    expect((await latchkey.signOut()).error).toBeUndefined();
    expect(ended).toEqual([undefined]);
    unwrap(await latchkey.signIn(username, password));
    expect((await latchkey.GET("/api/resource")).error).toBeUndefined();
  });

  test("refreshes first where the access token has expired", async () => {
    const { items } = await openSignedIn();
    const { latchkey, sent, ended } = open({ items });
    expect((await latchkey.signOut()).error).toBeUndefined();
    expect(sent).toEqual(["POST /api/token", "DELETE /api/token"]);
    expect(ended).toEqual([undefined]);
  });

  test("can be repeated after a lost response", async () => {
    let losses = 0;
    const { latchkey, sent, ended, items } = await openSignedIn({
      answering: async (request) => {
        const response = await network(request);
        if (request.method !== "DELETE" || losses > 0) return response;
        losses += 1;
        throw new TypeError("the answer was lost");
      },
    });
    await expect(latchkey.signOut()).rejects.toThrow("the answer was lost");
    expect(sent).toEqual(["DELETE /api/token"]);
    expect(items.size).toBe(1);
    expect((await latchkey.signOut()).error).toBeUndefined();
    expect(items.size).toBe(0);
    expect(ended.length).toBe(1);
  });

  test("does not count as done while the service is unavailable", async () => {
    const { latchkey, ended } = await openSignedIn({ retry: { tries: 1 } });
    await service.withoutDatabase(async () => {
      expect((await latchkey.signOut()).error?.status).toBe(503);
    });
    expect(ended).toEqual([]);
    expect((await latchkey.GET("/api/resource")).error).toBeUndefined();
  });

  test("everywhere, or by a password change, is reported to every client", async () => {
    const newPassword = "staple horse correct";
    const here = await openSignedIn();
    const there = open();
    unwrap(await there.latchkey.signIn(here.username, password));
    expect((await here.latchkey.signOutEverywhere()).error).toBeUndefined();
    expect((await greet(there)).error?.type).toBe("/problems/token-revoked");
    expect([here.ended, there.ended.map((refusal) => refusal?.type)]).toEqual([
      [undefined],
      ["/problems/token-revoked"],
    ]);
    unwrap(await here.latchkey.signIn(here.username, password));
    const refused = await here.latchkey.changePassword(password, "short");
    expect(refused.error).toMatchObject({ type: "/problems/password-refused", reason: "too-short" });
    expect((await here.latchkey.changePassword(password, newPassword)).error).toBeUndefined();
    expect(here.ended).toEqual([undefined, undefined]);
    unwrap(await here.latchkey.signIn(here.username, newPassword));
  });
});

test("a password change keeps the API keys if that is requested", async () => {
  const { latchkey, username } = await openSignedIn();
  const { key } = unwrap(await latchkey.POST("/api/api-keys", { body: { name: "cron", scopes: [] } }));
  const use = async () => (await service.send("GET", "/api/resource", { bearer: key })).status;
  const [second, third] = ["staple horse correct", "battery staple horse"];
  const { signal } = new AbortController();
  unwrap(await latchkey.changePassword(password, second, { keepApiKeys: true, signal }));
  expect(await use()).toBe(200);
  unwrap(await latchkey.signIn(username, second));
  unwrap(await latchkey.changePassword(second, third, signal));
  expect(await use()).toBe(401);
});

describe("tabs that share a storage", () => {
  test("refresh concurrently and stay signed in", async () => {
    const first = await openSignedIn();
    const second = open({ items: first.items });
    for (let round = 0; round < 5; round += 1) {
      await pass(first.username, "11 seconds");
      const results = await Promise.all([greet(first), greet(second), greet(first), greet(second)]);
      for (const { error } of results) expect(error).toBeUndefined();
    }
    expect([first.ended, second.ended]).toEqual([[], []]);
  });

  test("a late response does not restore a token that another tab has used", async () => {
    const first = await openSignedIn();
    const answered = gate();
    const arrives = gate();
    const second = open({
      items: first.items,
      answering: async (request) => {
        const response = await network(request);
        if (isRefresh(request)) {
          answered.open();
          await arrives.opened;
        }
        return response;
      },
    });
    const late = greet(second);
    await answered.opened;
    for (let tab = 0; tab < 2; tab += 1) {
      expect((await greet(open({ items: first.items }))).error).toBeUndefined();
    }
    const stored = first.items.get(key);
    arrives.open();
    expect((await late).error).toBeUndefined();
    await pass(first.username, "11 seconds");
    expect((await greet(first)).error).toBeUndefined();
    expect(first.items.get(key)).not.toBe(stored);
    expect([first.ended, second.ended]).toEqual([[], []]);
  });

  test("sign out together", async () => {
    const first = await openSignedIn();
    const second = open({ items: first.items });
    expect((await greet(second)).error).toBeUndefined();
    await first.latchkey.signOut();
    expect((await greet(second)).error?.type).toBe("/problems/token-revoked");
    expect([first.ended, second.ended]).toEqual([[undefined], [undefined]]);
  });
});

describe("trying again", () => {
  const now = { "Retry-After": "0" };
  const retry = { tries: 3, withinSeconds: 10 };

  test.each([
    ["GET after any 503", "GET", problem("database-unavailable", 503, now), 2],
    ["GET after a proxy's 503", "GET", html(503, now), 2],
    ["GET after a 429", "GET", problem("too-many-requests", 429, now), 2],
    ["GET after a lost connection", "GET", hangUp, 2],
    ["POST after a 503 that did nothing", "POST", problem("overloaded", 503, now), 2],
    ["POST after a 429", "POST", problem("too-many-requests", 429, now), 2],
    ["no POST after a 503 that may have done it", "POST", problem("database-unavailable", 503, now), 1],
    ["no POST after a lost connection", "POST", hangUp, 1],
    ["no DELETE after a proxy's 503", "DELETE", html(503, now), 1],
    ["no GET without Retry-After", "GET", problem("overloaded", 503), 1],
    ["no GET that is to wait for a date", "GET", problem("overloaded", 503, { "Retry-After": "Tue, 1 Dec" }), 1],
    ["no GET after a 500", "GET", problem("internal-error", 500, now), 1],
  ] as const)("%s", async (_name, method, first, requests) => {
    const server = await scripted(first, alive);
    const { latchkey } = open({ baseUrl: server.baseUrl, retry });
    const calls = {
      GET: () => latchkey.GET("/livez"),
      POST: () => latchkey.POST("/api/users", { body: { username: "miguel", password } }),
      DELETE: () => latchkey.DELETE("/api/token"),
    };
    const result = await calls[method]().catch((error: unknown) => ({ error }));
    expect(server.requests()).toBe(requests);
    expect(result.error === undefined).toBe(requests === 2);
  });

  test("ends after the last attempt, with the problem", async () => {
    const server = await scripted(problem("overloaded", 503, now));
    const { error } = await open({ baseUrl: server.baseUrl, retry }).latchkey.GET("/api/resource");
    expect(error?.type).toBe("/problems/overloaded");
    expect(server.requests()).toBe(3);
  });

  test("ends at its deadline", async () => {
    const server = await scripted(problem("overloaded", 503, { "Retry-After": "11" }));
    const { error, response } = await open({ baseUrl: server.baseUrl, retry }).latchkey.GET("/api/resource");
    expect(error?.type).toBe("/problems/overloaded");
    expect(retryAfterSeconds(response)).toBe(11);
    expect(server.requests()).toBe(1);
  });

  test("ends at once when aborted", async () => {
    const server = await scripted(problem("overloaded", 503, { "Retry-After": "1" }));
    const controller = new AbortController();
    const reason = new Error("the page was left");
    const { latchkey, sent } = open({
      baseUrl: server.baseUrl,
      retry,
      answering: async (request) => {
        const response = await network(request);
        const body = await response.text();
        setImmediate(() => controller.abort(reason));
        return new Response(body, response);
      },
    });
    await expect(latchkey.GET("/livez", { signal: controller.signal })).rejects.toBe(reason);
    expect(sent).toEqual(["GET /livez"]);
  });

  test("honours Retry-After of a service whose database is unavailable", async () => {
    const { latchkey, sent } = await openSignedIn({ retry: { tries: 2 } });
    await service.withoutDatabase(async () => {
      const { error } = await latchkey.GET("/readyz");
      expect(error?.type).toBe("/problems/database-unavailable");
    });
    expect(sent).toEqual(["GET /readyz", "GET /readyz"]);
  });

  test("does not wait for a Retry-After of a quarter of an hour", async () => {
    const strict = await startTestService({ THROTTLE_ACCOUNT_ADDRESS: "1" }, service.databaseUrl);
    strict.advance(toNextWindowSeconds());
    const { username } = await service.register();
    const { latchkey, sent } = open({ baseUrl: strict.url });
    await latchkey.signIn(username, "wrong password");
    const result = await latchkey.signIn(username, password);
    const thrown = await Promise.resolve()
      .then(() => unwrap(result))
      .catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ProblemError);
    expect(thrown).toMatchObject({ slug: "too-many-requests", problem: { status: 429 } });
    expect((thrown as ProblemError).retryAfterSeconds).toBeGreaterThan(10);
    expect(sent.length).toBe(2);
  });
});

describe("the current user and token", () => {
  test("signUp registers and signs in, and both ends of a session are reported once", async () => {
    let begun = 0;
    const { latchkey, ended, items } = open({ onSignedIn: () => (begun += 1) });
    expect(await latchkey.isSignedIn()).toBe(false);
    expect(await latchkey.user()).toBeUndefined();
    expect(await latchkey.accessToken()).toBeUndefined();

    const { username } = unwrap(await latchkey.signUp("newcomer", password));
    expect(username).toBe("newcomer");
    expect(await latchkey.isSignedIn()).toBe(true);
    expect(await latchkey.user()).toMatchObject({ username: "newcomer" });
    expect(begun).toBe(1);

    // Another client with the same storage continues the session.
    let found = 0;
    const other = open({ items, onSignedIn: () => (found += 1) });
    expect(await other.latchkey.isSignedIn()).toBe(true);
    expect(found).toBe(0);
    expect(await other.latchkey.user()).toMatchObject({ username: "newcomer" });
    await other.latchkey.user();
    expect(found).toBe(1);

    await latchkey.signOut();
    expect(await latchkey.isSignedIn()).toBe(false);
    expect([begun, ended]).toEqual([1, [undefined]]);
    expect(await other.latchkey.user()).toBeUndefined();
  });

  test("signUp returns the problem of the registration, and starts no session", async () => {
    const { username } = await service.register();
    const { latchkey, sent } = open();
    const { error } = await latchkey.signUp(username, password);
    expect(error?.type).toBe("/problems/username-taken");
    expect(sent).toEqual(["POST /api/users"]);
    expect(await latchkey.isSignedIn()).toBe(false);
  });

  test("accessToken gives a valid token, and refreshes an expired one", async () => {
    const { latchkey, sent } = await openSignedIn();
    const token = await latchkey.accessToken();
    expect(await latchkey.accessToken()).toBe(token);
    expect(sent).toEqual([]);
    expect((await service.send("GET", "/api/resource", { bearer: token ?? "" })).status).toBe(200);
  });

  test("accessToken throws if the service cannot refresh now, and the session continues", async () => {
    const { username } = await service.register();
    let isAway = false;
    const unavailable = async () =>
      new Response(
        JSON.stringify({ type: "/problems/overloaded", title: "overloaded", status: 503, instance: "urn:uuid:0" }),
        {
          status: 503,
          headers: { "Content-Type": "application/problem+json", "Retry-After": "100" },
        },
      );
    const answering: Answering = (request) => (isAway && isRefresh(request) ? unavailable() : network(request));
    const { latchkey, items, ended } = open({ answering });
    unwrap(await latchkey.signIn(username, password));
    isAway = true;
    const other = open({ answering, items });
    const thrown = await other.latchkey.accessToken().catch((error: unknown) => error);
    expect(thrown).toMatchObject({ name: "ProblemError", slug: "overloaded", retryAfterSeconds: 100 });
    expect([ended, other.ended]).toEqual([[], []]);
    isAway = false;
    expect(await other.latchkey.accessToken()).toEqual(expect.any(String));
  });
});

describe("a response that is not Latchkey's", () => {
  test.each([
    ["a proxy's 502", html(502), "GET /livez was answered with 502, text/html: <h1>A proxy</h1>"],
    ["a portal's 200", html(200), "GET /livez was answered with 200, text/html: <h1>A proxy</h1>"],
    [
      "nothing",
      (response: ServerResponse) => response.writeHead(500).end(),
      "GET /livez was answered with 500, no type: ",
    ],
    ["another's JSON", (response: ServerResponse) => response.writeHead(404).end("null"), "404, no type: null"],
  ])("%s is thrown, and says what came", async (_name, answer, message) => {
    const { latchkey } = open({ baseUrl: (await scripted(answer)).baseUrl });
    const thrown = await latchkey.GET("/livez").catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(UnexpectedAnswerError);
    expect(thrown).toMatchObject({ message: expect.stringContaining(message), response: expect.any(Response) });
  });

  test("a response that is not JSON can be requested", async () => {
    const { latchkey } = open();
    await expect(latchkey.GET("/openapi.yaml")).rejects.toThrow(UnexpectedAnswerError);
    expect(unwrap(await latchkey.GET("/openapi.yaml", { parseAs: "text" }))).toContain("openapi: 3.1.0");
  });
});
