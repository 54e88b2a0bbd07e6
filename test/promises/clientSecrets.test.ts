/** The TypeScript client sends passwords and tokens to the service alone, for the user they belong to. */
import type { IncomingMessage } from "node:http";
import { setImmediate } from "node:timers/promises";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { basicAuthorization, RedirectError, type TokenStorage, unwrap } from "../../packages/client/src/index.ts";
import { type Answering, clientsOf, count, gate, isRefresh, network, serve } from "../support/clients.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const { open, openSignedIn, expire, key } = clientsOf(service);

type Opened = Pick<ReturnType<typeof open>, "latchkey">;
const greet = ({ latchkey }: Opened) => latchkey.GET("/api/resource");
const whoIs = async ({ latchkey }: Opened) => unwrap(await latchkey.GET("/api/users/me")).username;

/** A server of another origin, and the requests that it receives. */
async function elsewhere() {
  const got: IncomingMessage[] = [];
  const url = await serve((request, response) => {
    got.push(request);
    response.writeHead(200, { "Content-Type": "application/json" }).end('{"data":"got you"}');
  });
  return { url, got };
}

/** Middleware that sends a request unchanged to another URL. */
const sentTo =
  (url: string) =>
  ({ request }: { request: Request }) =>
    new Request(url, request);

/** Redirects the requests selected by `isMoved`, and sends the rest to the service. */
async function moved(status: number, to: string, isMoved: (request: IncomingMessage) => boolean = () => true) {
  let redirected = 0;
  const url = await serve(async (request, response) => {
    if (isMoved(request)) {
      redirected += 1;
      return void response.writeHead(status, { Location: to + request.url }).end();
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { authorization = "" } = request.headers;
    const answer = await fetch(service.url + request.url, {
      method: request.method ?? "",
      headers: { "Content-Type": "application/json", ...(authorization && { Authorization: authorization }) },
      body: chunks.length > 0 ? Buffer.concat(chunks) : null,
    });
    response.writeHead(answer.status, { "Content-Type": answer.headers.get("Content-Type") ?? "" });
    response.end(await answer.text());
  });
  return { url, redirected: () => redirected };
}

/** Distinguishes a sign-in by another user from requests of the signed-in user. */
const isSignIn = ({ method, url }: Request) => method === "POST" && url.endsWith("/api/sessions");

/** Delays the first matching request, or its response. */
function holdBack(fits: (request: Request) => boolean, what: "request" | "answer") {
  const reached = gate();
  const released = gate();
  let isFirst = true;
  const answering: Answering = async (request) => {
    if (!isFirst || !fits(request)) return network(request);
    isFirst = false;
    const answer = what === "answer" ? await network(request) : undefined;
    reached.open();
    await released.opened;
    return answer ?? network(request);
  };
  return { answering, reached: reached.opened, release: released.open };
}

describe("a redirect is not followed", () => {
  test.each([301, 302, 303, 307, 308])("%d: neither with a password nor with a token", async (status) => {
    const other = await elsewhere();
    const service = await moved(status, other.url);
    const { latchkey, sent } = open({ baseUrl: service.url, fetch: undefined });
    const body = { username: "miguel", password };
    const headers = { Authorization: "Bearer a.b.c" };
    await expect(latchkey.signIn("miguel", password)).rejects.toThrow(RedirectError);
    await expect(latchkey.POST("/api/users", { body })).rejects.toThrow(RedirectError);
    const whatever = { redirect: "follow", credentials: "include" } as const;
    await expect(latchkey.GET("/api/resource", { headers, ...whatever })).rejects.toThrow(
      "GET /api/resource was answered with a redirect, which this client does not follow.",
    );
    expect(service.redirected()).toBe(3); // the redirect would be permanent
    expect([other.got, sent]).toEqual([[], []]);
  });

  test("nor a redirect of a refresh", async () => {
    const { username } = await service.register();
    const other = await elsewhere();
    const before = await moved(307, other.url, ({ method, url }) => method === "POST" && url === "/api/token");
    const { latchkey } = open({ baseUrl: before.url, fetch: undefined });
    unwrap(await latchkey.signIn(username, password));
    expire();
    await expect(greet({ latchkey })).rejects.toThrow(RedirectError);
    expect(before.redirected()).toBe(1);
    expect(other.got).toEqual([]);
  });

  test("a redirect that the caller's fetch rejects is an error; one that it follows is not accepted", async () => {
    const other = await elsewhere();
    const before = await moved(307, other.url);
    const refusing = open({ baseUrl: before.url });
    const thrown = await refusing.latchkey.signIn("miguel", password).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(RedirectError);
    expect(thrown).toMatchObject({ cause: expect.any(TypeError) });
    expect(other.got).toEqual([]);
    const following = open({ baseUrl: before.url, fetch: (request) => fetch(request, { redirect: "follow" }) });
    await expect(following.latchkey.GET("/livez")).rejects.toThrow(RedirectError);
  });
});

test("every request omits ambient credentials and refuses redirects, whatever the call's options", async () => {
  const modes: string[] = [];
  const { latchkey, sent } = await openSignedIn({
    answering: (request) => {
      modes.push(`${request.credentials} ${request.redirect}`);
      return network(request);
    },
  });
  expire();
  const whatever = { credentials: "include", redirect: "follow" } as const;
  unwrap(await latchkey.GET("/api/resource", whatever));
  unwrap(
    await latchkey.GET("/livez", {
      ...whatever,
      middleware: [{ onRequest: ({ request }) => new Request(request, whatever) }],
    }),
  );
  unwrap(await latchkey.signOut());
  expect(sent).toHaveLength(5);
  expect(modes).toEqual(Array(6).fill("omit error"));
});

describe("a token stays with the service", () => {
  const { origin } = new URL(service.url);

  test("a call with another base URL gets no token, and does not refresh", async () => {
    const other = await elsewhere();
    const { latchkey, sent } = await openSignedIn();
    expire();
    unwrap(await latchkey.GET("/api/resource", { baseUrl: other.url }));
    expect(other.got.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(sent).toEqual(["GET /api/resource"]);
  });

  const path = {};
  test.each<[string, number, (url: string) => Record<string, unknown>]>([
    ["middleware of a call", 1, (url) => ({ middleware: [{ onRequest: sentTo(url) }] })],
    ["a serializer of paths", 1, (url) => ({ params: { path }, pathSerializer: () => url })],
    [
      "a base URL that becomes a username",
      0,
      (url) => ({ params: { path }, pathSerializer: (full: string) => `${full}@${new URL(url).host}/` }),
    ],
    [
      "a Request that lies about its URL",
      1,
      (url) => ({
        Request: class extends Request {
          constructor(_input: string, init: RequestInit) {
            super(url, init);
            Object.defineProperty(this, "url", { value: `${service.url}/api/resource` });
          }
        },
      }),
    ],
  ])("nor does one that is sent elsewhere by %s", async (_name, requests, options) => {
    const other = await elsewhere();
    const { latchkey } = await openSignedIn();
    await latchkey.GET("/api/resource", options(other.url)).catch(() => {});
    expect(other.got.map(({ headers }) => headers.authorization)).toEqual(Array(requests).fill(undefined));
  });

  test("middleware neither sees the token nor can redirect it", async () => {
    const other = await elsewhere();
    const { latchkey } = await openSignedIn();
    const seen: (string | null)[] = [];
    latchkey.use({
      onRequest: sentTo(other.url),
      onResponse: ({ request }) => void seen.push(request.headers.get("Authorization")),
    });
    unwrap(await latchkey.GET("/api/resource"));
    expect(other.got.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(seen).toEqual([null]);
  });

  test("another path of the same origin is not the service", async () => {
    const got: [string | undefined, string | undefined][] = [];
    const proxy = await serve(async ({ url = "", method = "", headers }, response) => {
      got.push([url, headers.authorization?.split(" ")[0]]);
      const { authorization = "" } = headers;
      const path = url.replace(/^\/\w+/, "");
      const answer = await fetch(service.url + path, { method, headers: { Authorization: authorization } });
      response.writeHead(answer.status, { "Content-Type": "application/json" }).end(await answer.text());
    });
    const { username } = await service.register();
    const { latchkey } = open({ baseUrl: `${proxy}/auth/`, fetch: undefined });
    unwrap(await latchkey.signIn(username, password));
    unwrap(await latchkey.GET("/api/resource"));
    await latchkey.GET("/api/resource", { baseUrl: `${proxy}/authors` });
    await latchkey.GET("/api/resource", { baseUrl: `${proxy}/auth/../other` });
    expect(got).toEqual([
      ["/auth/api/sessions", "Basic"],
      ["/auth/api/resource", "Bearer"],
      ["/authors/api/resource", undefined],
      ["/other/api/resource", undefined],
    ]);
  });

  test("another spelling of the base URL is the same service", async () => {
    const { latchkey, username } = await openSignedIn();
    const baseUrl = `${origin.toUpperCase()}/`;
    expect(unwrap(await latchkey.GET("/api/users/me", { baseUrl })).username).toBe(username);
  });

  test("a call's own fetch sends the call and its repetition, and never sees the refresh token", async () => {
    const { latchkey, sent } = await openSignedIn();
    const own: string[] = [];
    expire();
    const fetch = (request: Request) => {
      own.push(
        `${new URL(request.url).pathname} ${request.redirect} ${request.headers.get("Authorization")?.slice(0, 7)}`,
      );
      return network(request);
    };
    unwrap(await latchkey.GET("/api/resource", { fetch }));
    expect(own).toEqual(Array(2).fill("/api/resource error Bearer "));
    expect(sent).toEqual(["POST /api/token"]);
  });
});

describe("a request stays with its user", () => {
  test("a request rejected while another user signed in is not repeated as that user", async () => {
    const held = holdBack(({ url }) => url.endsWith("/api/resource"), "answer");
    const anna = await openSignedIn(held);
    const { username: bob } = await service.register();
    expire();
    const hers = greet(anna);
    await held.reached;
    unwrap(await anna.latchkey.signIn(bob, password));
    held.release();
    expect((await hers).error?.type).toBe("/problems/token-expired");
    expect(count(anna.sent, "GET /api/resource")).toBe(1);
    expect(await whoIs(anna)).toBe(bob);
    expect(anna.ended).toEqual([]);
  });

  test("a request that waits for a refresh while another user signs in is not sent as that user", async () => {
    const held = holdBack(isRefresh, "answer");
    const opened = await openSignedIn({ items: new Map() });
    // A page that loads with Anna's session in its storage.
    const page = open({ items: opened.items, ...held });
    const { username: bob } = await service.register();
    const [one, other] = [greet(page), page.latchkey.changePassword(password, "staple horse correct")];
    await held.reached;
    unwrap(await page.latchkey.signIn(bob, password));
    const stored = page.items.get(key);
    held.release();
    expect((await one).error?.type).toBe("/problems/authentication-required");
    expect((await other).error?.type).toBe("/problems/authentication-required");
    expect(page.items.get(key)).toBe(stored);
    expect(await whoIs(page)).toBe(bob);
    expect(page.ended).toEqual([]);
  });

  test("a request being prepared while another user signs in is not sent as that user", async () => {
    const prepared = gate();
    const anna = await openSignedIn();
    const { username: bob } = await service.register();
    const onRequest = () => prepared.opened as Promise<undefined>;
    const hers = anna.latchkey.GET("/api/users/me", { middleware: [{ onRequest }] });
    unwrap(await anna.latchkey.signIn(bob, password));
    prepared.open();
    expect((await hers).error?.type).toBe("/problems/authentication-required");
  });

  test.each(["signOut", "signOutEverywhere", "changePassword"] as const)(
    "%s does not end a session that has begun since",
    async (method) => {
      const held = holdBack((request) => request.method !== "POST", "answer");
      const anna = await openSignedIn(held);
      const { username: bob } = await service.register();
      const { latchkey } = anna;
      const ends =
        method === "changePassword" ? latchkey.changePassword(password, "staple horse correct") : latchkey[method]();
      await held.reached;
      unwrap(await latchkey.signIn(bob, password));
      held.release();
      expect((await ends).error).toBeUndefined();
      expect(anna.ended).toEqual([]);
      expect(anna.items.size).toBe(1);
      expect(await whoIs(anna)).toBe(bob);
    },
  );

  test("a slow storage does not restore the previous session", async () => {
    const items = new Map<string, string>();
    const writing = gate();
    const written = gate();
    let writes = 0;
    const storage: TokenStorage = {
      getItem: async (name) => items.get(name) ?? null,
      setItem: async (name, value) => {
        if (++writes === 2) {
          writing.open();
          await written.opened;
        }
        items.set(name, value);
      },
      removeItem: async (name) => void items.delete(name),
    };
    const answered = gate();
    const anna = await openSignedIn({
      storage,
      answering: async (request) => {
        const answer = await network(request);
        if (isSignIn(request) && writes > 0) answered.open();
        return answer;
      },
    });
    const { username: bob } = await service.register();
    expire();
    const hers = greet(anna);
    await writing.opened; // the successor of her refresh token
    const his = anna.latchkey.signIn(bob, password);
    await answered.opened;
    // Enough turns of the event loop for the client to read the response and write, if it did not wait for the first write.
    for (let turn = 0; turn < 100; turn += 1) await setImmediate();
    written.open();
    unwrap(await his);
    await hers;
    expire();
    expect(await whoIs(anna)).toBe(bob);
  });
});

describe("tabs that share a storage", () => {
  /** Anna signs in in one tab, then Bob in another. */
  async function twoTabs() {
    const anna = await openSignedIn();
    const { username: bob } = await service.register();
    const other = open({ items: anna.items });
    unwrap(await other.latchkey.signIn(bob, password));
    return { anna, other, bob };
  }

  test("refresh one after the other, where the browser has Web Locks", async () => {
    // Web Locks as in browsers, for one name: Node 20 has none.
    let last: Promise<unknown> = Promise.resolve();
    const request = <T>(_name: string, task: () => Promise<T>): Promise<T> => {
      const done = last.then(task);
      last = done.catch(() => {});
      return done;
    };
    vi.stubGlobal("navigator", { locks: { request } });
    onTestFinished(() => void vi.unstubAllGlobals());
    const used: string[] = [];
    let atOnce = 0;
    const answering: Answering = async (request) => {
      if (!isRefresh(request)) return network(request);
      used.push(await request.clone().text());
      atOnce += 1;
      expect(atOnce).toBe(1);
      const response = await network(request);
      atOnce -= 1;
      return response;
    };
    const first = await openSignedIn({ answering });
    const second = open({ answering, items: first.items });
    expire();
    expect(await Promise.all([whoIs(first), whoIs(second)])).toEqual([first.username, first.username]);
    expect(new Set(used).size).toBe(2);
  });

  test("a sign-in by another user signs the first one out", async () => {
    const { anna, other, bob } = await twoTabs();
    expect((await greet(anna)).error?.type).toBe("/problems/token-revoked");
    expect(anna.ended).toEqual([undefined]);
    for (let call = 0; call < 2; call += 1) {
      expect((await greet(anna)).error?.type).toBe("/problems/authentication-required");
    }
    expect((await anna.latchkey.signOut()).error).toBeUndefined();
    expect(anna.ended).toEqual([undefined]);
    expect(count(anna.sent, "POST /api/token")).toBe(0);
    expire();
    expect(await whoIs(other)).toBe(bob);
    expect(await whoIs(open({ items: anna.items }))).toBe(bob); // as when the page is reloaded
    expect(other.ended).toEqual([]);
  });

  test("a sign-in by another user while the service cannot end sessions", async () => {
    const anna = await openSignedIn();
    const { username: bob } = await service.register();
    const answering: Answering = (request) =>
      isSignIn(request) ? network(request) : Promise.reject(new TypeError("the connection was lost"));
    unwrap(await open({ items: anna.items, answering }).latchkey.signIn(bob, password));
    expect(await whoIs(anna)).toBe(anna.username);
    expire();
    expect((await greet(anna)).error?.type).toBe("/problems/token-expired");
    expect(anna.ended).toEqual([undefined]);
    expect(await whoIs(open({ items: anna.items }))).toBe(bob);
  });

  test("a sign-in by another user during a refresh keeps that user's tokens", async () => {
    const held = holdBack(isRefresh, "answer");
    const anna = await openSignedIn(held);
    const { username: bob } = await service.register();
    expire();
    const hers = greet(anna);
    await held.reached;
    unwrap(await open({ items: anna.items }).latchkey.signIn(bob, password));
    held.release();
    expect((await hers).response.status).toBe(401);
    expect(anna.ended).toEqual([undefined]);
    expect(await whoIs(open({ items: anna.items }))).toBe(bob);
  });

  test("the first user can sign in again, which replaces the other", async () => {
    const { anna, other } = await twoTabs();
    unwrap(await anna.latchkey.signIn(anna.username, password));
    expect(await whoIs(anna)).toBe(anna.username);
    expect((await greet(other)).response.status).toBe(401);
    expect(other.ended).toEqual([undefined]);
    expect(anna.ended).toEqual([]);
  });
});

describe("signing in again", () => {
  /** Whether the tokens of a session are still valid. The refresh token comes first, since it shows the state of the session. */
  async function isAlive(refreshToken: string | undefined) {
    return (await service.send("POST", "/api/token", { json: { refresh_token: refreshToken } })).status === 200;
  }

  test.each(["a token that works", "a token that has expired"])("ends the earlier session, with %s", async (name) => {
    const opened = await openSignedIn();
    const earlier = opened.items.get(key);
    if (name.endsWith("expired")) expire();
    unwrap(await opened.latchkey.signIn(opened.username, password));
    expect(await isAlive(earlier)).toBe(false);
    expect(await whoIs(opened)).toBe(opened.username);
    expect(opened.ended).toEqual([]);
  });

  test("ends a stored session", async () => {
    const { items, username } = await openSignedIn();
    const earlier = items.get(key);
    unwrap(await open({ items }).latchkey.signIn(username, password));
    expect(await isAlive(earlier)).toBe(false);
    expect(await isAlive(items.get(key))).toBe(true);
  });

  test("succeeds where the previous session cannot be ended, which stays valid", async () => {
    const opened = await openSignedIn({
      answering: (request) =>
        isSignIn(request) || request.method === "GET" ? network(request) : Promise.reject(new TypeError("lost")),
    });
    const earlier = opened.items.get(key);
    unwrap(await opened.latchkey.signIn(opened.username, password));
    expect(await whoIs(opened)).toBe(opened.username);
    expect(await isAlive(earlier)).toBe(true);
  });

  test("with a wrong password ends no session", async () => {
    const opened = await openSignedIn();
    const earlier = opened.items.get(key);
    expect((await opened.latchkey.signIn(opened.username, "wrong password")).error).toBeDefined();
    expect(await isAlive(earlier)).toBe(true);
  });
});

test("the caller's own credentials go where the caller sends them, and are never replaced", async () => {
  const other = await elsewhere();
  const { latchkey } = await openSignedIn();
  const Authorization = basicAuthorization("somebody", "else");
  unwrap(await latchkey.GET("/api/resource", { baseUrl: other.url, headers: { Authorization } }));
  expect(other.got.map(({ headers }) => headers.authorization)).toEqual([Authorization]);
});
