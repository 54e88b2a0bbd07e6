/** The client's tokens for other APIs: valid there, issued once for all callers, and ended with the session. */
import { createRemoteJWKSet, jwtVerify } from "jose";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ProblemError, unwrap } from "../../packages/client/src/index.ts";
import { type Answering, clientsOf, count, isRefresh, network } from "../support/clients.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const { open, expire, key } = clientsOf(service);
const issuer = "http://127.0.0.1:8080";
const orders = "https://orders.example/v1";
const stock = "stock";
const basic = await service.administrator();
for (const audience of [orders, stock]) {
  const scopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "" }));
  await service.send("POST", "/api/apis", { basic, json: { audience, name: audience, scopes } });
}
const setScopes = (...scopes: string[]) => service.send("PUT", "/api/roles/clerk", { basic, json: { scopes } });
await setScopes("orders:read", "orders:write");
const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`));

/** Verifies a token as an API does. Returns its scopes. */
async function scopeAt(audience: string, token: string | undefined) {
  const options = { issuer, audience, typ: "at+jwt", requiredClaims: ["exp", "iat", "sub", "scope"] };
  return (await jwtVerify(token ?? "", keys, options)).payload["scope"];
}

/** Signs a new clerk in. */
async function openClerk(options: Parameters<typeof open>[0] = {}) {
  const { id, username } = await service.register();
  await service.send("PATCH", `/api/users/${id}`, { basic, json: { roles: ["clerk"] } });
  const opened = open(options);
  unwrap(await opened.latchkey.signIn(username, password));
  opened.sent.length = 0;
  return { ...opened, username };
}

/** Counts the refreshes at the same time, and collects the refresh tokens that were used. */
function watchRefreshes() {
  const used: string[] = [];
  const watched = { used, atOnce: 0, most: 0 };
  const answering: Answering = async (request) => {
    if (!isRefresh(request)) return network(request);
    used.push(JSON.parse(await request.clone().text()).refresh_token);
    watched.atOnce += 1;
    watched.most = Math.max(watched.most, watched.atOnce);
    const response = await network(request);
    watched.atOnce -= 1;
    return response;
  };
  return { watched, answering };
}

describe("a token for an API", () => {
  test("is accepted by that API only, has the scopes that were asked for, and is remembered", async () => {
    const { latchkey, sent } = await openClerk();
    const own = await latchkey.accessToken();
    expect(sent).toEqual([]);
    const token = await latchkey.accessToken({ audience: orders });
    expect(await scopeAt(orders, token)).toBe("orders:read orders:write");
    await expect(scopeAt(stock, token)).rejects.toThrow('unexpected "aud" claim value');
    const reading = await latchkey.accessToken({ audience: orders, scope: "orders:read" });
    expect(await scopeAt(orders, reading)).toBe("orders:read");
    const account = await latchkey.accessToken({ scope: "account:read" });
    expect(await scopeAt(issuer, account)).toBe("account:read");
    expect(count(sent, "POST /api/token")).toBe(3);

    expect(await latchkey.accessToken({ audience: orders })).toBe(token);
    expect(await latchkey.accessToken({ scope: "orders:read", audience: orders })).toBe(reading);
    expect(await latchkey.accessToken({ scope: "account:read" })).toBe(account);
    expect(await latchkey.accessToken()).toBe(own);
    // The client's own calls do not use them.
    unwrap(await latchkey.GET("/api/resource"));
    expect(count(sent, "POST /api/token")).toBe(3);
  });

  test("is replaced shortly before it expires", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const { latchkey } = await openClerk();
    const token = await latchkey.accessToken({ audience: orders });
    vi.setSystemTime(Date.now() + 565_000);
    expect(await latchkey.accessToken({ audience: orders })).toBe(token);
    vi.setSystemTime(Date.now() + 10_000);
    const next = await latchkey.accessToken({ audience: orders });
    expect(next).not.toBe(token);
    expect(await scopeAt(orders, next)).toBe("orders:read orders:write");
  });

  test("that the API rejected is replaced by one with the current rights, once for all callers", async () => {
    const { latchkey, sent } = await openClerk();
    const rejected = await latchkey.accessToken({ audience: orders });
    await setScopes("orders:read");
    onTestFinished(async () => void (await setScopes("orders:read", "orders:write")));
    const ask = () => latchkey.accessToken({ audience: orders, rejected });
    const [one, other] = await Promise.all([ask(), ask()]);
    expect(await scopeAt(orders, one)).toBe("orders:read");
    expect([other, await ask()]).toEqual([one, one]);
    expect(count(sent, "POST /api/token")).toBe(2);
  });

  test.each([
    [{ audience: "https://nobody.example" }, "invalid-target"],
    [{ audience: orders, scope: "orders:delete" }, "invalid-scope"],
    [{ audience: "# not an audience" }, "invalid-request"],
  ])("%j is an error that does not end the session", async (limits, slug) => {
    const { latchkey, ended, items } = await openClerk();
    const stored = items.get(key);
    const thrown = await latchkey.accessToken(limits).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ProblemError);
    expect(thrown).toMatchObject({ slug, problem: { status: 400 } });
    expect(items.get(key)).toBe(stored);
    expect(await scopeAt(orders, await latchkey.accessToken({ audience: orders }))).toBeDefined();
    expect(ended).toEqual([]);
  });

  test("accepts a signal, alone as in earlier versions or as an option", async () => {
    const { latchkey } = await openClerk();
    const reason = new Error("the page was left");
    await expect(latchkey.accessToken(AbortSignal.abort(reason))).rejects.toBe(reason);
    await expect(latchkey.accessToken({ audience: orders, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const { signal } = new AbortController();
    expect(await latchkey.accessToken(signal)).toBe(await latchkey.accessToken({ signal }));
    expect(await latchkey.accessToken(null)).toBe(await latchkey.accessToken());
  });
});

describe("concurrent calls", () => {
  test("share one refresh for each audience and scope, and use each refresh token once", async () => {
    const { watched, answering } = watchRefreshes();
    const { latchkey, ended } = await openClerk({ answering });
    expire();
    const calls = Array.from({ length: 5 }, () => [
      latchkey.GET("/api/resource").then(({ response }) => response.status),
      latchkey.accessToken({ audience: orders }).then((token) => scopeAt(orders, token)),
      latchkey.accessToken({ audience: orders, scope: "orders:read" }).then((token) => scopeAt(orders, token)),
      latchkey.accessToken({ audience: stock }).then((token) => scopeAt(stock, token)),
    ]);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 601_000 }); // when jose checks `exp`
    onTestFinished(() => void vi.useRealTimers());
    const both = "orders:read orders:write";
    expect(await Promise.all(calls.flat())).toEqual(Array(5).fill([200, both, "orders:read", both]).flat());
    expect(watched.used).toHaveLength(4);
    expect(new Set(watched.used).size).toBe(4);
    expect(watched.most).toBe(1);
    expect(ended).toEqual([]);
  });

  test("one that fails does not delay or fail the others", async () => {
    let failures = 0;
    const { latchkey } = await openClerk({
      retry: { tries: 1 },
      answering: async (request) => {
        if (!isRefresh(request) || failures++ > 0) return network(request);
        throw new TypeError("fetch failed");
      },
    });
    const [lost, issued] = await Promise.allSettled([
      latchkey.accessToken({ audience: stock }),
      latchkey.accessToken({ audience: orders }),
    ]);
    expect(lost).toMatchObject({ status: "rejected", reason: { message: "fetch failed" } });
    expect(issued).toMatchObject({ status: "fulfilled", value: expect.any(String) });
    expect(await scopeAt(stock, await latchkey.accessToken({ audience: stock }))).toBeDefined();
  });
});

describe("tabs that share a storage", () => {
  test("get tokens at the same time", async () => {
    const one = await openClerk();
    const other = open({ items: one.items });
    const tokens = await Promise.all(
      [one, other, one, other].map(({ latchkey }, index) =>
        latchkey.accessToken({ audience: index < 2 ? orders : stock }),
      ),
    );
    expect(await Promise.all(tokens.map((token, index) => scopeAt(index < 2 ? orders : stock, token)))).toHaveLength(4);
    expect([one.ended, other.ended]).toEqual([[], []]);
    expect(await other.latchkey.user()).toMatchObject({ username: one.username });
  });

  test("get none after the session has ended in another one, without asking the service", async () => {
    const one = await openClerk();
    const other = open({ items: one.items });
    expect(await one.latchkey.accessToken({ audience: orders })).toBeDefined();
    expect(await other.latchkey.accessToken({ audience: orders })).toBeDefined();
    await other.latchkey.signOut();
    one.sent.length = 0;
    for (const limits of [{ audience: orders }, {}]) expect(await one.latchkey.accessToken(limits)).toBeUndefined();
    expect([one.sent, one.ended]).toEqual([[], [undefined]]);
  });

  test("get none of a user who has signed in in another one", async () => {
    const one = await openClerk();
    await one.latchkey.accessToken({ audience: orders });
    const { username } = await service.register();
    unwrap(await open({ items: one.items }).latchkey.signIn(username, password));
    expect(await one.latchkey.accessToken({ audience: orders })).toBeUndefined();
    expect(one.ended).toEqual([undefined]);
  });
});

describe("the end of the session", () => {
  test("ends its tokens in the client", async () => {
    const { latchkey, ended } = await openClerk();
    await latchkey.accessToken({ audience: orders });
    await latchkey.signOut();
    expect(await latchkey.accessToken({ audience: orders })).toBeUndefined();
    expect(ended).toEqual([undefined]);
  });

  test("at the service is found when a rejected token is replaced", async () => {
    const { latchkey, ended, username } = await openClerk();
    const rejected = await latchkey.accessToken({ audience: orders });
    await service.send("DELETE", "/api/sessions", { basic: [username, password] });
    expect(await latchkey.accessToken({ audience: orders, rejected })).toBeUndefined();
    expect(ended).toMatchObject([{ type: "/problems/token-revoked" }]);
  });

  test("a sign-in while a token is issued ends that token as well", async () => {
    const { latchkey } = await openClerk();
    const { username } = await service.register();
    const hers = latchkey.accessToken({ audience: orders });
    const signedIn = latchkey.signIn(username, password);
    const token = await hers;
    unwrap(await signedIn);
    const next = await latchkey.accessToken({ audience: orders });
    expect(next).not.toBe(token);
    expect(await scopeAt(orders, next)).toBe("");
  });

  test("is a stored value that is malformed, also if an API was asked for", async () => {
    const { latchkey, ended, items } = open({ items: new Map([[key, "x".repeat(300)]]) });
    expect(await latchkey.accessToken({ audience: orders })).toBeUndefined();
    expect(ended).toMatchObject([{ type: "/problems/invalid-request" }]);
    expect(items.size).toBe(0);
  });
});
