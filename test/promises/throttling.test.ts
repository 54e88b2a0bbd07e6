/** Password guesses are limited for everyone and from everywhere, and the owner can still sign in. */
import { createHash } from "node:crypto";
import pg from "pg";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { storedUsername } from "../../src/identifiers.ts";
import { networkOf, networksOf } from "../../src/networks.ts";
import { Problem } from "../../src/problems/problems.ts";
import type { Client } from "../../src/throttling/counters.ts";
import { throttleKeys } from "../../src/throttling/keys.ts";
import { type Limits, Throttled, windowSeconds } from "../../src/throttling/limits.ts";
import { attemptStore } from "../../src/throttling/store.ts";
import { createThrottle } from "../../src/throttling/throttling.ts";
import { afterTest } from "../support/afterTest.ts";
import { createClient, type Received } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import {
  createDatabase,
  password,
  secretKey,
  startTestService,
  type TestService,
  toNextWindowSeconds,
  untilServed,
  workOfHash,
} from "../support/service.ts";

/** Low limits, and a trusted proxy that forwards addresses. guessLimits.test.ts tests the defaults. */
const usual = {
  TRUST_PROXY: "1",
  THROTTLE_ACCOUNT_ADDRESS: "5",
  THROTTLE_ACCOUNT: "5",
  THROTTLE_ADDRESS: "50",
  THROTTLE_REGISTRATIONS: "30",
};
const service = await startTestService(usual);

/** Starts a process with its clock ahead by the given milliseconds. */
const skewedBy = (ms: number) =>
  `--import=data:text/javascript,${encodeURIComponent(`const now = Date.now; Date.now = () => now() + ${ms};`)}`;

let addresses = 0;
/** A new address. */
const stranger = () => `198.51.${Math.floor(++addresses / 250)}.${addresses % 250}`;
const signIn = (username: string, secret: string, from: string, at: TestService = service) =>
  at.send("GET", "/api/resource", { basic: [username, secret], headers: { "x-forwarded-for": from } });
const register = async (username: string, from = stranger()) => {
  await service.register(username, { "x-forwarded-for": from });
  return from;
};
const repeated = (count: number, send: () => Promise<Received>) => Promise.all(Array.from({ length: count }, send));
const statusesOf = (answers: Received[]) => answers.map(({ status }) => status);
/** Runs the function while a lock is held. */
async function lockedTo(lock: string, use: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client(service.databaseUrl);
  await client.connect();
  await client.query("BEGIN");
  await client.query(lock);
  await use(client).finally(() => client.end());
}
/** A body without its request id. */
const withoutIds = (text: string) => text.replace(/urn:uuid:[0-9a-f-]+/, "");
const lookedAt = (answers: Received[]) => answers.filter(({ status }) => status !== 429).length;
/** Another instance with the same windows. */
const another = async (settings: Record<string, string> = usual): Promise<TestService> => {
  const started = await startTestService(settings, service.databaseUrl);
  started.advance(advanced);
  return started;
};
let advanced = 0;
const advance = (seconds: number): void => {
  advanced += seconds;
  service.advance(seconds);
};
advance(toNextWindowSeconds());
beforeEach(() => advance(windowSeconds)); // each test starts a new window

describe("of many concurrent guesses on two instances, exactly as many as allowed are evaluated", () => {
  test.each([
    ["from one address", 5, () => "198.51.250.1"],
    ["from as many addresses as there are guesses", 5, stranger],
  ])("%s", async (_name, limit, from) => {
    const second = await another();
    const username = `guessed${limit}${from()}`;
    await register(username);
    const before = service.hashingWork() + second.hashingWork();
    const guesses = await Promise.all(
      [service, second].flatMap((at) =>
        Array.from({ length: 40 }, () => signIn(username, "wrong password", from(), at)),
      ),
    );
    expect([...new Set(statusesOf(guesses))].sort()).toEqual([401, 429]);
    expect(lookedAt(guesses)).toBe(limit);
    expect(service.hashingWork() + second.hashingWork() - before).toBe(limit * workOfHash);
  });
});

test("concurrent attempts are admitted up to the limit exactly", async () => {
  const database = openDatabase(service.databaseUrl, 10);
  afterTest(() => database.close());
  const store = attemptStore(database);
  const now = new Date();
  const later = new Date(now.getTime() + 60_000);
  const attempt = {
    reference: { username: storedUsername("nobody") },
    counters: [{ key: "concurrent attempts", limitIfKnown: 7, limitIfUnknown: 7 }],
    countersEndAt: later,
    failureKeys: ["concurrent attempts"] as const,
    maxFailuresIfKnown: 100,
    maxFailuresIfUnknown: 100,
    failuresExpireAt: later,
    networkKeys: [],
    now,
  };
  // All of them read the counts before one of them is counted.
  await lockedTo("INSERT INTO throttle (key) VALUES ('concurrent attempts')", async (client) => {
    const attempts = Promise.all(Array.from({ length: 10 }, () => store.begin(attempt)));
    const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await service.sql(waiting)).length < 10);
    await client.query("ROLLBACK");
    expect((await attempts).filter(({ isAdmitted }) => isAdmitted)).toHaveLength(7);
  });
});

test("an hour overlaps five windows, and unknown and known networks have separate limits", async () => {
  const own = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
  await register("besieged", "203.0.113.1");
  for (const from of own.slice(1)) await signIn("besieged", password, from);
  const guess = async () => {
    const strangers = Array.from({ length: 8 }, stranger);
    const guesses = [...own, ...own, ...own, ...strangers].map((from) => signIn("besieged", "wrong password", from));
    return lookedAt(await Promise.all(guesses));
  };
  advance(windowSeconds - 60); // the end of a window
  const looked = [await guess()];
  for (const seconds of [120, 900, 900, 900]) {
    advance(seconds);
    // Otherwise the limit on consecutive failures would apply first.
    expect((await signIn("besieged", password, "203.0.113.9")).status).toBe(200);
    looked.push(await guess(), await guess());
  }
  expect(looked).toEqual([10, 10, 0, 10, 0, 10, 0, 10, 0]);
});

describe("the right password", () => {
  test("is accepted from an address where it was used, whatever others do", async () => {
    const home = await register("loved");
    await Promise.all(Array.from({ length: 30 }, () => signIn("loved", "wrong password", stranger())));
    expect((await signIn("loved", password, stranger())).status).toBe(429);
    expect((await signIn("loved", password, home)).status).toBe(200);
  });

  test("is accepted from there even when that address has guessed at other accounts", async () => {
    const office = await register("colleague");
    let looked = 0;
    for (let n = 0; n < 50; n += 1) looked += lookedAt([await signIn(`c${n}`, "wrong password", office)]);
    expect(looked).toBe(40); // the rest is reserved for accounts with a sign-in from there
    expect((await signIn("another", "wrong password", office)).status).toBe(429);
    expect((await signIn("colleague", password, office)).status).toBe(200);
  });

  test("makes an address known; the last ten are kept", async () => {
    const all = [await register("traveller"), ...Array.from({ length: 10 }, stranger)];
    for (const from of all.slice(1)) expect((await signIn("traveller", password, from)).status).toBe(200);
    await Promise.all(Array.from({ length: 8 }, () => signIn("traveller", "wrong password", stranger())));
    const answers = await Promise.all(all.map((from) => signIn("traveller", password, from)));
    expect(statusesOf(answers)).toEqual([429, ...Array(10).fill(200)]);
  });

  test("is known only where it was changed, once it was changed", async () => {
    const intruder = await register("recovered");
    const home = stranger();
    const json = { current_password: password, new_password: "staple horse correct" };
    const basic: [string, string] = ["recovered", password];
    const headers = { "x-forwarded-for": home };
    const changed = await service.send("PUT", "/api/users/me/password", { basic, json, headers });
    expect(changed.status).toBe(204);
    await Promise.all(Array.from({ length: 8 }, () => signIn("recovered", "wrong password", stranger())));
    expect((await signIn("recovered", "wrong password", intruder)).status).toBe(429);
    expect((await signIn("recovered", "staple horse correct", home)).status).toBe(200);
  });

  test("does not count as a guess, however many come at once", async () => {
    const home = await register("busy");
    await repeated(4, () => signIn("busy", "wrong password", home));
    expect(new Set(statusesOf(await repeated(40, () => signIn("busy", password, home))))).toEqual(new Set([200]));
  });

  test("does not count from many new addresses at once", async () => {
    await register("popular");
    const answers = await Promise.all(Array.from({ length: 20 }, () => signIn("popular", password, stranger())));
    expect(new Set(statusesOf(answers))).toEqual(new Set([200]));
  });

  test("does not count on two instances at the same time", async () => {
    const second = await another();
    const home = await register("everywhere");
    await repeated(4, () => signIn("everywhere", "wrong password", home));
    for (let round = 0; round < 10; round += 1) {
      const answers = [service, second].map((at) => signIn("everywhere", password, home, at));
      expect(statusesOf(await Promise.all(answers))).toEqual([200, 200]);
    }
  });

  test("does not reset the count of wrong ones", async () => {
    const home = await register("careless");
    for (let round = 0; round < 5; round += 1) {
      expect((await signIn("careless", "wrong password", home)).status).toBe(401);
      if (round < 4) expect((await signIn("careless", password, home)).status).toBe(200);
    }
    expect((await signIn("careless", password, home)).status).toBe(429);
  });
});

test("all operations that take a password count alike", async () => {
  const home = await register("doors");
  const headers = { "x-forwarded-for": home };
  const wrong: [string, string] = ["doors", "wrong password"];
  const basic: [string, string] = ["doors", password];
  const change = { current_password: "wrong password", new_password: "staple horse correct" };
  const guesses = [
    () => service.send("GET", "/api/users/me", { basic: wrong, headers }),
    () => service.send("GET", "/api/token", { basic: wrong, headers }),
    () => service.send("POST", "/api/sessions", { basic: wrong, headers }),
    () => service.send("PUT", "/api/users/me/password", { basic, json: change, headers }),
    () => service.send("DELETE", "/api/users/me", { basic: wrong, headers }),
  ];
  const { json } = await service.send("GET", "/api/token", { basic, headers });
  for (const guess of guesses) expect((await guess()).status).toBe(401);
  for (const guess of guesses) expect((await guess()).status).toBe(429);
  const byToken = await service.send("PUT", "/api/users/me/password", { bearer: json.token, json: change, headers });
  expect(byToken.status).toBe(429);
  expect((await service.send("GET", "/api/users/me", { bearer: json.token })).status).toBe(200);
});

test("an attempt rejected by an account's limit does not look up the user", async () => {
  const usernames = ["hidden", "nowhere", "not a name"];
  await register("hidden");
  for (const username of usernames) {
    await Promise.all(Array.from({ length: 7 }, () => signIn(username, "wrong password", stranger())));
  }
  await lockedTo("LOCK TABLE users IN ACCESS EXCLUSIVE MODE", async () => {
    const attempts = async () => {
      const received = await Promise.all(usernames.map((username) => signIn(username, "wrong password", stranger())));
      expect(statusesOf(received)).toEqual([429, 429, 429]);
      return received;
    };
    let answers = await attempts();
    // Each answer names the seconds that are left when it is made: again, if a second began between two of them.
    const beganSecond = () => new Set(answers.map((answer) => answer.header("retry-after"))).size > 1;
    for (let tries = 1; tries < 10 && beganSecond(); tries += 1) answers = await attempts();
    const seen = answers.map(({ status, headers, text }) => ({ status, headers, text: withoutIds(text) }));
    for (const { headers } of seen) for (const name of ["x-request-id", "date", "etag"]) delete headers[name];
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[2]).toEqual(seen[0]);
  });
  const refused = service.log.map((line) => JSON.parse(line)).filter(({ event }) => event === "throttled");
  const kinds = refused.slice(-3).map((line) => JSON.stringify(Object.keys(line)));
  expect(new Set(kinds).size).toBe(1);
  expect(refused.at(-1).userId).toBeUndefined();
});

test("stored counts reveal nothing that was typed without SECRET_KEY", async () => {
  const typed = "my password, typed in the wrong field";
  const from = stranger();
  await signIn(typed, "wrong password", from);
  const rows = [
    ...(await service.sql("SELECT key FROM throttle")),
    ...(await service.sql("SELECT key FROM password_failures")),
    ...(await service.sql("SELECT key FROM familiar_networks")),
  ].map(({ key }) => String(key));
  const [stored, foreign] = [secretKey, "another secret key, as long: 0123456789abc"].map((key) => {
    const keys = throttleKeys([key]);
    const account = keys.accounts(typed)[0];
    return rows.filter((row) => row.includes(account) || row.includes(keys.network(from))).length;
  });
  expect(stored).toBe(4); // the account, the account with its address, the address, and the consecutive failures
  expect(foreign).toBe(0);
  // Possible without the key: digests of the name, alone and combined.
  for (const text of [typed, `account\n${typed}`, `account-address\n${typed}\n${from}`, `address\n${from}`]) {
    for (const encoding of ["base64url", "hex", "base64"] as const) {
      const digest = createHash("sha256").update(text).digest(encoding);
      expect(rows.filter((row) => row.includes(digest))).toEqual([]);
    }
  }
});

test("whether the user exists does not show", async () => {
  await register("existing");
  const from = stranger();
  const seen = [];
  for (const username of ["existing", "missing", "not a name"]) {
    const before = service.hashingWork();
    const answers = [];
    for (let guess = 0; guess < 7; guess += 1) answers.push(await signIn(username, "wrong password", from));
    seen.push({
      work: service.hashingWork() - before,
      answers: answers.map(({ status, json, headers }) => ({
        status,
        names: Object.keys(headers),
        policy: headers["ratelimit-policy"],
        detail: json.detail?.replace(/\d+/, "n"),
        title: json.title,
      })),
    });
  }
  expect(seen[0]?.answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 429, 429]);
  expect(seen[0]?.answers.at(-1)?.policy).toEqual(['"account-address";q=5;w=900']);
  expect(seen[1]).toEqual(seen[0]);
  expect(seen[2]).toEqual(seen[0]);
});

test("a lockout says when it ends, within 15 minutes, and ends then", async () => {
  const home = await register("patient");
  await repeated(6, () => signIn("patient", "wrong password", home));
  const refused = await signIn("patient", password, home);
  const seconds = Number(refused.header("retry-after"));
  expect(refused.header("ratelimit")).toBe(`"account-address";r=0;t=${seconds}`);
  expect(refused.json.detail).toBe(`Too many wrong passwords. Try again in ${seconds} seconds.`);
  expect(seconds).toBeGreaterThan(800);
  expect(seconds).toBeLessThanOrEqual(900);
  advance(seconds - 5);
  expect((await signIn("patient", password, home)).status).toBe(429);
  advance(5);
  expect((await signIn("patient", password, home)).status).toBe(200);
});

test("instances with different clocks share the counts", async () => {
  const username = "timeless";
  await register(username);
  const settings = { ...usual, DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
  // One second early and twenty minutes late.
  const programs = [1_000, -1_200_000].map((ms) => runProgram([], { ...settings, NODE_OPTIONS: skewedBy(ms) }));
  const sends = await Promise.all(programs.map(async ({ url }) => createClient(await url)));
  const began = Date.now();
  const guesses: Received[] = [];
  for (let round = 0; round < 10; round += 1) {
    for (const send of sends) {
      const headers = { "x-forwarded-for": stranger() };
      guesses.push(await send("GET", "/api/resource", { basic: [username, "wrong password"], headers }));
    }
  }
  const windows = 1 + Math.floor(Date.now() / 900_000) - Math.floor(began / 900_000);
  expect(lookedAt(guesses)).toBeLessThanOrEqual(5 * windows);
  expect(lookedAt(guesses)).toBeGreaterThanOrEqual(5);
});

test("an attempt known to be rejected takes no slot and reads no counts", async () => {
  const from = stranger();
  await repeated(6, () => signIn("locked", "wrong password", from));
  await lockedTo("LOCK TABLE throttle IN ACCESS EXCLUSIVE MODE", async () => {
    const answers = await repeated(40, () => signIn("locked", "wrong password", from));
    expect(new Set(statusesOf(answers))).toEqual(new Set([429]));
  });
});

describe("registration", () => {
  const tryRegistering = (username: string, from: string) =>
    service.send("POST", "/api/users", { json: { username, password }, headers: { "x-forwarded-for": from } });

  test("429 after too many from one address, and not for others", async () => {
    let rounds = 0;
    // A 503 may count or not, so that all of them are repeated, from another address.
    const answers = await untilServed(async () => {
      const from = stranger();
      const name = `registrar${++rounds}`;
      const answers: Received[] = [];
      for (let n = 0; n < 32; n += 1) answers.push(await tryRegistering(n % 2 ? name : `${name}-${n}`, from));
      return answers;
    });
    const allowed = Array.from({ length: 30 }, (_, n) => (n % 2 && n > 1 ? 409 : 201));
    expect(statusesOf(answers)).toEqual([...allowed, 429, 429]);
    expect(answers.at(-1)?.header("ratelimit-policy")).toBe('"registrations";q=30;w=900');
    expect((await untilServed(() => tryRegistering("elsewhere", stranger()))).status).toBe(201);
  });
});

describe("an address", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::1", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["rubbish", "unknown"],
    ["", "unknown"],
    [undefined, "unknown"],
  ])("%s counts as %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  test("of IPv6 counts for its /64, /56 and /48", () => {
    expect(networksOf("2001:db8:1:23f:3:4:5:6")).toEqual([
      "2001:db8:1:23f::/64",
      "2001:db8:1:200::/56",
      "2001:db8:1::/48",
    ]);
    expect(networksOf("192.0.2.7")).toEqual(["192.0.2.7"]);
  });

  test("is taken from trusted proxies only", async () => {
    await register("spoofed", "203.0.113.77");
    for (let guess = 0; guess < 5; guess += 1) {
      // Entries to the left of the proxy's own were written by the client.
      await signIn("spoofed", "wrong password", `203.0.113.${guess}, 198.51.251.1`);
    }
    const refused = await signIn("spoofed", password, "203.0.113.77, 198.51.251.1");
    expect(refused.header("ratelimit-policy")).toBe('"account-address";q=5;w=900');

    const direct = await startTestService({ ...usual, TRUST_PROXY: "10.0.0.0/8" }, await createDatabase());
    direct.advance(toNextWindowSeconds());
    await direct.register("spoofed");
    for (let guess = 0; guess < 5; guess += 1) await signIn("spoofed", "wrong password", stranger(), direct);
    expect((await signIn("spoofed", password, stranger(), direct)).status).toBe(429);
  });

  test("is separated from a port that some proxies append", async () => {
    await register("ported", "203.0.113.80:50123");
    for (let guess = 0; guess < 6; guess += 1) await signIn("ported", "wrong password", `203.0.113.81:${guess}`);
    expect((await signIn("ported", password, "203.0.113.80:50124")).status).toBe(200);
    expect((await signIn("ported", password, "[2001:db8::1]:443")).status).toBe(429);
  });

  test("that is invalid is not logged, never becomes known, and causes a warning", async () => {
    await register("obscure", "hunter2<script>");
    for (let guess = 0; guess < 5; guess += 1) await signIn("obscure", "wrong password", stranger());
    expect((await signIn("obscure", password, "hunter2<script>")).status).toBe(429);
    expect(service.log.join("")).not.toContain("hunter2");
    expect(service.log.filter((line) => line.includes("not an IP address")).length).toBe(1);
  });

  test("that is forwarded to a service that trusts no proxy causes a warning", async () => {
    const { TRUST_PROXY: _, ...direct } = usual;
    const unaware = await another(direct);
    await signIn("nobody", "wrong password", stranger(), unaware);
    await signIn("nobody", "wrong password", stranger(), unaware);
    expect(unaware.log.filter((line) => line.includes("TRUST_PROXY")).length).toBe(1);
  });
});

test("guesses and rejected attempts are logged without the password", async () => {
  const from = stranger();
  for (let guess = 0; guess < 6; guess += 1) await signIn("watched", "a guess", from);
  const events = service.log.map((line) => JSON.parse(line)).filter(({ req, event }) => event && req.address === from);
  expect(events.map(({ event }) => event)).toEqual([...Array(5).fill("password-refused"), "throttled"]);
  expect(events.at(-1)).toMatchObject({ limit: "account-address", req: { address: from } });
  expect(service.log.join("")).not.toMatch(/watched|a guess/);
});

test("a sign-in from a new address and a deletion of the user do not wait for each other", async () => {
  await register("leaver");
  for (let networks = 1; networks < 3; networks += 1) await signIn("leaver", password, stranger());
  await lockedTo("SELECT FROM users WHERE username = 'leaver' FOR UPDATE", async (client) => {
    expect((await signIn("leaver", password, stranger())).status).toBe(200);
    await client.query("SET LOCAL lock_timeout = '300ms'");
    await client.query("DELETE FROM users WHERE username = 'leaver'");
    await client.query("COMMIT");
  });
  expect((await signIn("leaver", password, stranger())).status).toBe(401);
});

test("a network that cannot be remembered neither fails the sign-in nor keeps counts locked", async () => {
  await register("hiker");
  const from = stranger();
  for (let guess = 0; guess < 4; guess += 1) await signIn("hiker", "wrong password", from);
  await lockedTo("LOCK TABLE familiar_networks IN SHARE MODE", async (client) => {
    const signedIn = signIn("hiker", password, from);
    const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await service.sql(waiting)).length === 0);
    await client.query("SELECT FROM throttle FOR UPDATE NOWAIT");
    await client.query("SELECT FROM password_failures FOR UPDATE NOWAIT");
    expect((await signedIn).status).toBe(200);
  });
  // The counts were settled: one more wrong password is allowed, and the next sign-in remembers the network.
  expect((await signIn("hiker", "wrong password", from)).status).toBe(401);
  expect((await signIn("hiker", "wrong password", from)).status).toBe(429);
  const networks = "SELECT FROM familiar_networks WHERE network = $1";
  expect(await service.sql(networks, [from])).toEqual([]);
  advance(windowSeconds);
  expect((await signIn("hiker", password, from)).status).toBe(200);
  expect(await service.sql(networks, [from])).toHaveLength(1);
});

test("a known network in use is kept: it is written again after a day, not at each sign-in", async () => {
  const home = await register("regular");
  const age = (interval: string) =>
    service.sql("UPDATE familiar_networks SET last_seen_at = now() - $1::interval WHERE network = $2", [
      interval,
      home,
    ]);
  const hoursSinceSeen = async () => {
    const seconds =
      "SELECT extract(epoch FROM now() - last_seen_at) AS since FROM familiar_networks WHERE network = $1";
    return Math.round(Number((await service.sql(seconds, [home]))[0]?.["since"]) / 3600);
  };
  await age("23 hours");
  expect((await signIn("regular", password, home)).status).toBe(200);
  expect(await hoursSinceSeen()).toBe(23);
  await age("89 days");
  const other = await another(); // the first one caches the rejection for two seconds
  expect((await signIn("regular", password, home, other)).status).toBe(200);
  expect(await hoursSinceSeen()).toBe(0);
});

describe("an attempt rejected as overloaded", () => {
  const database = openDatabase(service.databaseUrl, 2);
  afterAll(() => database.close());
  const throttleOf = (limits: Partial<Limits>) =>
    createThrottle({
      limits: {
        "account-address": 9,
        account: 9,
        address: 9,
        registrations: 9,
        consecutive: 9,
        clients: 9,
        "client-registrations": 9,
        ...limits,
      },
      store: attemptStore(database),
      keys: throttleKeys([secretKey]),
      schedule: (_turn, task) => task(Infinity),
      clock: () => new Date(),
    });
  const attempt = (): Client => ({ account: `overloaded${stranger()}`, networks: networksOf(stranger()) });
  const overloaded = () => Promise.reject(new Problem("overloaded"));

  test.each<[string, Partial<Limits>]>([
    ["by account and address", { "account-address": 1 }],
    ["by address", { address: 1 }],
    ["in a row", { consecutive: 1 }],
  ])("is no guess, counted %s; one that fails otherwise may have been, and is one", async (_name, limits) => {
    const existing = `tried${stranger()}`;
    await register(existing);
    const { checkPassword } = throttleOf(limits);
    for (const failure of [overloaded, () => Promise.reject(new Error("cut off"))]) {
      const one = { ...attempt(), reference: { username: storedUsername(existing) } };
      const guess = async (check: () => Promise<true | undefined>) => (await checkPassword(one, check)).result;
      if (failure === overloaded) {
        for (let count = 0; count < 3; count += 1) await expect(guess(overloaded)).rejects.toThrow(Problem);
        expect(await guess(async () => undefined)).toBeUndefined();
      } else await expect(guess(failure)).rejects.toThrow("cut off");
      await expect(guess(async () => true)).rejects.toBeInstanceOf(Throttled);
    }
  });

  test("does not count as a registration", async () => {
    const { registration } = throttleOf({ registrations: 1 });
    const one = attempt();
    for (let count = 0; count < 3; count += 1)
      await expect(registration(one, overloaded)).rejects.toMatchObject({ slug: "overloaded" });
    await expect(registration(one, () => Promise.reject(new Error("cut off")))).rejects.toThrow("cut off");
    await expect(registration(one, async () => true)).rejects.toBeInstanceOf(Throttled);
  });
});

test("THROTTLE=off disables the limits and logs a warning", async () => {
  const open = await another({ ...usual, THROTTLE: "off" });
  const guesses = await repeated(20, () => signIn("anybody", "wrong password", "198.51.252.1", open));
  expect(new Set(statusesOf(guesses))).toEqual(new Set([401]));
  expect(open.log.some((line) => JSON.parse(line).level >= 40 && line.includes("THROTTLE=off"))).toBe(true);
});
