/** The verifier follows the revocation list: it knows how old the list is, and no feed can revive a token. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import type { VerifierOptions } from "../../packages/verify/src/index.ts";
import {
  type FakeAnswer,
  page,
  raw,
  signedToken,
  signingKey,
  silence,
  startFakeLatchkey,
} from "../support/fakeLatchkey.ts";
import { outcome, startVerifier } from "../support/verifiers.ts";

const path = "/api/revocations";
const key = await signingKey();
const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
const entry = (subject: string, minimum_epoch = 2_147_483_647, expires_at = inAnHour) => ({
  subject,
  minimum_epoch,
  expires_at,
});

async function verifierWithFeed(options: Partial<VerifierOptions> = {}, answer?: FakeAnswer) {
  const latchkey = await startFakeLatchkey([key]);
  if (answer) latchkey.answers[path] = answer;
  const verifier = startVerifier({ issuer: latchkey.url, credential: "lk_credential", ...options });
  const token = (claims?: object) => signedToken(key, latchkey.url, claims);
  const behave = latchkey.answers[path];
  const answers = (replacement: FakeAnswer) => {
    latchkey.answers[path] = replacement;
  };
  const polls = () => latchkey.requests.filter((request) => request.path === path);
  /** Waits until the verifier says so, which a test must not take long for. */
  const until = (sent: string, expected: string | object, timeoutMs = 5_000) =>
    vi.waitFor(async () => expect(await verifier.ask(sent)).toEqual(expected), { timeout: timeoutMs, interval: 5 });
  return { latchkey, verifier, token, behave, answers, polls, until };
}
const accepted = expect.objectContaining({ kind: "user" });

test("an entry of each subject of a token revokes it, and no other", async () => {
  const { latchkey, verifier, token, until } = await verifierWithFeed();
  await verifier.ready();
  const cases: [subject: string, lowest: number][] = [
    ["a-token", 5],
    ["a-session", 5],
    ["a-user", 5],
    ["role:clerk", 8],
    ["everybody", 5],
  ];
  for (const [subject, lowest] of cases) {
    // All cases share the list, so each has subjects of its own.
    const own = (name: string) => (name === "everybody" ? name : `${name} ${subject}`);
    const ids = { jti: own("a-token"), sid: own("a-session"), sub: own("a-user") };
    const sent = token({ ...ids, epoch: 4, epochs: { [own("role:clerk")]: 7 } });
    expect(await verifier.ask(sent)).toEqual(accepted);
    latchkey.revoke(own(subject), lowest - 1);
    latchkey.revoke(`a token after ${subject}`);
    await until(token({ jti: `a token after ${subject}`, epoch: 9 }), "token-revoked");
    expect(await verifier.ask(sent), subject).toEqual(accepted);
    latchkey.revoke(own(subject), lowest);
    await until(sent, "token-revoked");
    expect(await verifier.ask(token({ ...ids, epoch: 5, epochs: { [own("role:clerk")]: 8 } }))).toEqual(accepted);
  }
});

test("the entry of a signing key revokes all its tokens, whatever epoch they claim", async () => {
  const { latchkey, verifier, token, until } = await verifierWithFeed();
  await verifier.ready();
  const sent = token({ epoch: 2_147_483_646 });
  expect(await verifier.ask(sent)).toEqual(accepted);
  latchkey.revoke(key.kid);
  await until(sent, "token-revoked");
  expect(await verifier.ask(token({ epoch: 2_147_483_647 }))).toBe("invalid-token");
  expect(await verifier.ask(token())).toBe("token-revoked");
});

test("the list is read in pages, then with requests that wait", async () => {
  const pages = [page([entry("one")], "a", 0, true), page([], "b", 0, true), page([entry("two")], "c", 0, false)];
  const { verifier, token, polls, latchkey } = await verifierWithFeed({ maxStalenessSeconds: 10 }, ({ query }) =>
    query["wait"] === "0" ? pages.shift() : undefined,
  );
  await verifier.ready();
  await latchkey.untilRequested(path, 4);
  expect(polls().map(({ query }) => query)).toEqual([
    { wait: "0" },
    { wait: "0", after: "a" },
    { wait: "0", after: "b" },
    { wait: "3", after: "c" },
  ]);
  expect(polls()[0]?.authorization).toBe("Bearer lk_credential");
  expect(await verifier.ask(token({ jti: "one" }))).toBe("token-revoked");
  expect(await verifier.ask(token({ sid: "two" }))).toBe("token-revoked");
  expect(verifier.counters()).toMatchObject({ revocations: 2 });
});

describe("a verifier that does not know the list", () => {
  test.each([
    ["no response", silence],
    ["the 404 of a proxy", raw(404)],
    ["a 403", raw(403)],
  ])(
    "refuses with a 503, with the problem of Latchkey, and goes on within two seconds of its return: %s",
    async (_case, cut) => {
      const { verifier, token, answers, behave, until } = await verifierWithFeed({ maxStalenessSeconds: 2 });
      await verifier.ready();
      const sent = token();
      expect(await verifier.ask(sent)).toEqual(accepted);
      answers(cut);
      const cutMs = performance.now();
      await until(sent, "revocations-stale", 10_000);
      expect(performance.now() - cutMs).toBeLessThan(2_600);
      expect(await outcome(verifier, `Bearer ${sent}`)).toMatchObject({ status: 503, headers: { "Retry-After": "2" } });
      expect(await verifier.ask(token())).toBe("revocations-stale");
      await sleep(1_000); // some more attempts hang
      answers(behave);
      const healedMs = performance.now();
      await until(sent, accepted, 10_000);
      expect(performance.now() - healedMs).toBeLessThan(2_000);
      expect(verifier.errors).toHaveLength(1);
      expect(verifier.counters().failedRequests).toBeGreaterThan(0);
    },
  );

  test("refuses after the bound, also if the last response said that the list would be complete in the future", async () => {
    const { latchkey, verifier, token, answers, until, polls } = await verifierWithFeed({ maxStalenessSeconds: 1 });
    await verifier.ready();
    answers(() => page([], "9", 3_600_000));
    latchkey.revoke("wake");
    await latchkey.untilRequested(path, polls().length + 3);
    expect(verifier.counters().stalenessSeconds).toBeGreaterThanOrEqual(0);
    answers(raw(500));
    await until(token(), "revocations-stale");
  });

  test("accepts what is not revoked, if it was told so", async () => {
    const { latchkey, verifier, token, answers, until } = await verifierWithFeed({
      maxStalenessSeconds: 1,
      onStale: "accept",
    });
    await verifier.ready();
    latchkey.revoke("a-token");
    await until(token({ jti: "a-token" }), "token-revoked");
    answers(raw(500));
    await vi.waitFor(() => expect(verifier.counters().stalenessSeconds).toBeGreaterThan(1.5), 5_000);
    expect(await verifier.ask(token())).toEqual(accepted);
    expect(await verifier.ask(token({ jti: "a-token" }))).toBe("token-revoked");
  });

  test.each([
    [401, "not an API key that is valid"],
    [403, "revocations:read"],
  ])("is not ready, and says why if Latchkey rejects its credential (%i)", async (status, hint) => {
    const { verifier } = await verifierWithFeed({}, raw(status));
    await expect(verifier.ready()).rejects.toThrow(hint);
  });

  test("refuses a request that came before the list, after two seconds", async () => {
    const { verifier, token } = await verifierWithFeed({}, silence);
    expect(await verifier.ask(token())).toBe("revocations-stale");
  });
});

test("a stale list is known by the wall clock, too: the other one stands still while a machine sleeps", async () => {
  const { verifier, token, until } = await verifierWithFeed();
  await verifier.ready();
  const sent = token({ exp: Math.floor(Date.now() / 1000) + 7_200 });
  expect(await verifier.ask(sent)).toEqual(accepted);
  const now = Date.now.bind(Date);
  const clock = vi.spyOn(Date, "now").mockImplementation(() => now() + 3_600_000);
  try {
    expect(await verifier.ask(sent)).toBe("revocations-stale");
    await until(sent, accepted, 1_000); // it has asked at once
  } finally {
    clock.mockRestore();
  }
});

test("entries are forgotten when they expire, and read again if the clock is set back", async () => {
  const { latchkey, verifier, token, polls, until } = await verifierWithFeed();
  await verifier.ready();
  latchkey.revoke("a-token");
  const sent = token({ jti: "a-token" });
  await until(sent, "token-revoked");
  const now = Date.now.bind(Date);
  const clock = vi.spyOn(Date, "now").mockImplementation(() => now() + 7_200_000);
  latchkey.revoke("another", 1, new Date(Date.now() + 7_200_000).toISOString());
  await latchkey.untilRead();
  expect(verifier.counters().revocations).toBe(1);
  clock.mockRestore();
  const before = polls().length;
  expect(["revocations-stale", "token-revoked"]).toContain(await verifier.ask(sent));
  await until(sent, "token-revoked");
  expect(
    polls()
      .slice(before)
      .map(({ query }) => query),
  ).toContainEqual({ wait: "0" });
});

describe("no token is revived, and nothing but refusals is thrown, by a feed that", () => {
  const future = "9999-12-31T23:59:59.999Z";
  const lies: [string, FakeAnswer][] = [
    ["lowers the epoch of a subject", () => page([entry("a-token", 0)], "9")],
    ["says that an entry has expired", () => page([entry("a-token", 0, "2000-01-01T00:00:00Z")], "9")],
    ["begins anew without the entry", () => page([], "0")],
    ["goes backwards", () => page([entry("old")], "0")],
    ["repeats", () => page([entry("a-token")], "1")],
    ["says 410 again and again", raw(410)],
    ["never has enough", () => page([entry("more")], "7", 0, true)],
    ["always has more of nothing", () => page([], "7", 0, true)],
    ["says that it was complete long ago", () => page([], "9", -1e9)],
    ["says that it will be complete in the future", () => page([], "9", 1e15)],
    [
      "does not know the number of a time",
      raw(200, '{"entries":[],"next":"9","has_more":false,"complete_at_offset_ms":"0"}'),
    ],
    [
      "has a time beyond all numbers",
      raw(200, '{"entries":[],"next":"9","has_more":false,"complete_at_offset_ms":1e999}'),
    ],
    ["is truncated", raw(200, JSON.stringify(page([entry("more")], "9")).slice(0, -9))],
    ["is not JSON", raw(200, "<html>")],
    ["is empty", raw(200, "")],
    ["is null", raw(200, "null")],
    ["is a list", raw(200, "[]")],
    ["has no entries", raw(200, '{"next":"9","has_more":false,"complete_at_offset_ms":0}')],
    [
      "has an entry without a subject",
      raw(200, JSON.stringify({ ...page([], "9"), entries: [{ minimum_epoch: 1, expires_at: future }] })),
    ],
    ["has an entry of nothing", raw(200, JSON.stringify({ ...page([], "9"), entries: [null] }))],
    [
      "has an epoch of text",
      raw(
        200,
        JSON.stringify({ ...page([], "9"), entries: [{ subject: "a-token", minimum_epoch: "0", expires_at: future }] }),
      ),
    ],
    ["has a negative epoch", () => page([entry("a-token", -1)], "9")],
    ["has no date", () => page([entry("a-token", 0, "soon")], "9")],
    ["has no cursor", raw(200, '{"entries":[],"has_more":false,"complete_at_offset_ms":0}')],
    ["has a huge cursor", () => page([], "9".repeat(5_000))],
    ["has subjects of the prototype", () => page([entry("__proto__", 0), entry("constructor", 0)], "9")],
    ["redirects", raw(307, "", { location: "/elsewhere" })],
    ["closes the connection", ({ incoming }) => void incoming.socket.destroy()],
    ["says that it is overloaded", raw(503, "", { "retry-after": "3600" })],
  ];

  test.each(lies)("%s", async (_name, lie) => {
    const { latchkey, verifier, token, answers, behave, polls, until } = await verifierWithFeed();
    await verifier.ready();
    const revoked = token({ jti: "a-token", sub: "a-user" });
    const good = token();
    expect(await verifier.ask(revoked)).toEqual(accepted);
    latchkey.revoke("a-token");
    await until(revoked, "token-revoked");
    answers(lie);
    latchkey.revoke("wake"); // answers the held request, as Latchkey does
    const before = polls().length;
    await latchkey.untilRequested(path, before + 2);
    for (let use = 0; use < 3; use += 1) {
      expect(["token-revoked", "revocations-stale"]).toContain(await verifier.ask(revoked));
      expect([accepted, "revocations-stale"]).toContainEqual(await verifier.ask(good));
    }
    answers(behave);
    await until(good, accepted);
    expect(await verifier.ask(revoked)).toBe("token-revoked");
    expect(latchkey.requests.map((request) => request.path)).not.toContain("/elsewhere");
  });

  test.each(["refuse", "accept"] as const)(
    "lists more revocations than are kept: nothing is accepted (onStale: %s) until there is room again",
    async (onStale) => {
      const { latchkey, verifier, token, until } = await verifierWithFeed({ maxRevocations: 10, onStale });
      await verifier.ready();
      const sent = token();
      const soon = new Date(Date.now() + 1_000).toISOString();
      for (let index = 0; index < 10; index += 1) latchkey.revoke(`subject ${index}`, 1, soon);
      await latchkey.untilRead();
      expect(await verifier.ask(sent)).toEqual(accepted);
      latchkey.revoke("one too many");
      await until(sent, "revocations-stale");
      expect(await verifier.ask(token())).toBe("revocations-stale");
      expect(verifier.counters()).toMatchObject({ revocations: 10, rejectedRevocations: expect.any(Number) });
      expect(verifier.counters().rejectedRevocations).toBeGreaterThan(0);
      expect(verifier.errors.join()).toContain("more entries than maxRevocations allows");
      const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 120_000);
      await until(token({ jti: "one too many" }), "token-revoked");
      expect(await verifier.ask(sent)).toEqual(accepted);
      clock.mockRestore();
    },
  );

  test("lists revocations of long subjects: they take no more memory than usual ones", async () => {
    const { latchkey, verifier, token, until } = await verifierWithFeed({ maxRevocations: 10 });
    await verifier.ready();
    latchkey.revoke("x".repeat(640), 1, new Date(Date.now() + 1_000).toISOString());
    await latchkey.untilRead();
    expect(await verifier.ask(token())).toEqual(accepted);
    latchkey.revoke("y");
    await until(token(), "revocations-stale");
    const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 120_000);
    await until(token(), accepted);
    clock.mockRestore();
  });

  test("sends more than fits into memory", async () => {
    const { verifier, token, answers, latchkey, polls } = await verifierWithFeed();
    await verifier.ready();
    let written = 0;
    answers((_request, response) => {
      response.writeHead(200);
      const write = () => {
        if (response.destroyed) return;
        written += 1_048_576;
        response.write(" ".repeat(1_048_576), () => setImmediate(write));
      };
      write();
    });
    const before = polls().length;
    latchkey.revoke("wake");
    await latchkey.untilRequested(path, before + 3);
    expect(written / (polls().length - before)).toBeLessThan(40_000_000);
    expect(await verifier.ask(token())).toEqual(accepted); // the list is not stale yet
  });
});

test("a feed that answers at once is not asked more often than a few times a second", async () => {
  const { verifier, polls } = await verifierWithFeed({}, () => page([], "0"));
  await verifier.ready();
  const before = polls().length;
  await sleep(1_000);
  expect(polls().length - before).toBeLessThanOrEqual(5);
});

test("a feed that answers only what does not wait is asked a few times a second", async () => {
  const { latchkey, polls, verifier, answers, behave } = await verifierWithFeed();
  await verifier.ready();
  answers((request, response) => (request.query["wait"] === "0" ? behave : raw(500))(request, response));
  latchkey.revoke("wake");
  const before = polls().length;
  await sleep(1_000);
  expect(polls().length - before).toBeLessThanOrEqual(10);
});

test("a feed that is away is asked about once a second, by each verifier at other times", async () => {
  const { latchkey, polls, verifier, answers } = await verifierWithFeed();
  await verifier.ready();
  answers(raw(503));
  const before = polls().length;
  latchkey.revoke("wake"); // answers the held request
  await sleep(2_500);
  expect(polls().length - before).toBeGreaterThanOrEqual(3);
  expect(polls().length - before).toBeLessThanOrEqual(8);
});

test("an expired cursor makes the verifier read the whole list again", async () => {
  const { latchkey, verifier, token, answers, behave, until } = await verifierWithFeed();
  await verifier.ready();
  latchkey.revoke("a-token");
  const sent = token({ jti: "a-token" });
  await until(sent, "token-revoked");
  latchkey.entries.unshift(entry("missed"));
  answers((request, response) =>
    request.query["after"] === undefined ? behave(request, response) : raw(410)(request, response),
  );
  latchkey.revoke("wake");
  await until(token({ jti: "missed" }), "token-revoked");
  expect(await verifier.ask(sent)).toBe("token-revoked");
  expect(await verifier.ask(token())).toEqual(accepted);
});

test("close ends all requests, and the verifier accepts nothing after its bound", async () => {
  const { verifier, token, polls, latchkey } = await verifierWithFeed({ maxStalenessSeconds: 1 });
  await verifier.ready();
  await latchkey.untilRequested(path, 2);
  await verifier.close();
  const before = polls().length;
  await vi.waitFor(async () => expect(await verifier.ask(token())).toBe("revocations-stale"), 3_000);
  expect(polls().length).toBe(before);
});
