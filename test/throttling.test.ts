/** Passwords can be tried a few times, by whoever and from wherever, and their owner is let in all the same. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { networkOf } from "../src/throttling/network.ts";
import type { Received } from "./support/client.ts";
import { createDatabase, password, startTestService, type TestService } from "./support/service.ts";

/** The limits as they are by default, and a proxy that may say who asks. */
const usual = {
  TRUST_PROXY: "1",
  THROTTLE_ACCOUNT_ADDRESS: "5",
  THROTTLE_ACCOUNT: "5",
  THROTTLE_ADDRESS: "50",
  THROTTLE_REGISTRATIONS: "30",
};
const service = await startTestService(usual);

let addresses = 0;
/** An address that has not been here before. */
const stranger = () => `198.51.${Math.floor(++addresses / 250)}.${addresses % 250}`;
const signIn = (username: string, secret: string, from: string, at: TestService = service) =>
  at.send("GET", "/api/resource", { basic: [username, secret], headers: { "x-forwarded-for": from } });
const register = async (username: string, from = stranger()) => {
  const headers = { "x-forwarded-for": from };
  const answer = await service.send("POST", "/api/users", { json: { username, password }, headers });
  expect(answer.status).toBe(201);
  return from;
};
const repeated = (count: number, send: () => Promise<Received>) => Promise.all(Array.from({ length: count }, send));
const statusesOf = (answers: Received[]) => answers.map(({ status }) => status);
const lookedAt = (answers: Received[]) => answers.filter(({ status }) => status !== 429).length;
/** The limits are counted by the clock of the machine. */
const setClock = (time: number) => vi.useFakeTimers({ toFake: ["Date"], now: time });
afterEach(() => void vi.useRealTimers());

describe("of many guesses at once, on two instances, exactly as many are looked at as may be", () => {
  test.each([
    ["from one address", 5, () => "198.51.250.1"],
    ["from as many addresses as there are guesses", 5, stranger],
  ])("%s", async (_name, limit, from) => {
    const second = await startTestService(usual, service.databaseUrl);
    const username = `guessed${limit}${from()}`;
    await register(username);
    const before = service.hashingWork() + second.hashingWork();
    const guesses = await Promise.all(
      [service, second].flatMap((at) =>
        Array.from({ length: 60 }, () => signIn(username, "wrong password", from(), at)),
      ),
    );
    expect([...new Set(statusesOf(guesses))].sort()).toEqual([401, 429]);
    expect(lookedAt(guesses)).toBe(limit);
    expect(service.hashingWork() + second.hashingWork() - before).toBe(limit * 19_456 * 2);
  });
});

test("at most a hundred guesses are looked at in any hour, from the account's own networks too", async () => {
  await register("besieged", "203.0.113.1");
  for (const from of ["203.0.113.2", "203.0.113.3", "203.0.113.4"]) await signIn("besieged", password, from);
  const start = Date.now();
  const times: number[] = [];
  for (let minute = 0; minute <= 130; minute += 1) {
    setClock(start + minute * 60_000);
    // Now and then, so that the windows overlap as unluckily as they can.
    if (minute % 15 > 1) continue;
    const own = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    const guesses = await Promise.all(
      [...own, ...own, ...own, ...own, ...own, ...own, ...Array.from({ length: 10 }, stranger)].map((from) =>
        signIn("besieged", "wrong password", from),
      ),
    );
    times.push(...Array.from({ length: lookedAt(guesses) }, () => minute));
  }
  const inTheHourFrom = (minute: number) => times.filter((time) => time >= minute && time < minute + 60).length;
  const most = Math.max(...times.map(inTheHourFrom));
  expect(most).toBeLessThanOrEqual(100);
  expect(most).toBeGreaterThan(60); // or nothing was tried
});

describe("the right password", () => {
  test("is let in from an address that it was used from, whatever others do", async () => {
    const home = await register("loved");
    await Promise.all(Array.from({ length: 30 }, () => signIn("loved", "wrong password", stranger())));
    expect((await signIn("loved", password, stranger())).status).toBe(429);
    expect((await signIn("loved", password, home)).status).toBe(200);
  });

  test("is let in from there even when that address has guessed at everybody else's", async () => {
    const office = await register("colleague");
    const guesses = await Promise.all(Array.from({ length: 70 }, (_, n) => signIn(`c${n}`, "wrong password", office)));
    expect(lookedAt(guesses)).toBeGreaterThanOrEqual(50);
    expect((await signIn("another", "wrong password", office)).status).toBe(429);
    expect((await signIn("colleague", password, office)).status).toBe(200);
  });

  test("makes an address familiar; of these the last three are", async () => {
    const [first, second, third, fourth] = [await register("traveller"), stranger(), stranger(), stranger()];
    for (const from of [second, third, fourth]) expect((await signIn("traveller", password, from)).status).toBe(200);
    await Promise.all(Array.from({ length: 8 }, () => signIn("traveller", "wrong password", stranger())));
    const answers = [first, second, third, fourth].map((from) => signIn("traveller", password, from));
    expect(statusesOf(await Promise.all(answers))).toEqual([429, 200, 200, 200]);
  });

  test("does not count, however many come at once", async () => {
    const home = await register("busy");
    await repeated(4, () => signIn("busy", "wrong password", home));
    expect(new Set(statusesOf(await repeated(40, () => signIn("busy", password, home))))).toEqual(new Set([200]));
  });

  test("does not count on two instances at the same moment, either", async () => {
    const second = await startTestService(usual, service.databaseUrl);
    const home = await register("everywhere");
    await repeated(4, () => signIn("everywhere", "wrong password", home));
    for (let round = 0; round < 10; round += 1) {
      const answers = [service, second].map((at) => signIn("everywhere", password, home, at));
      expect(statusesOf(await Promise.all(answers))).toEqual([200, 200]);
    }
  });

  test("does not make good for wrong ones", async () => {
    const home = await register("careless");
    for (let round = 0; round < 5; round += 1) {
      expect((await signIn("careless", "wrong password", home)).status).toBe(401);
      if (round < 4) expect((await signIn("careless", password, home)).status).toBe(200);
    }
    expect((await signIn("careless", password, home)).status).toBe(429);
  });
});

test("every door counts alike", async () => {
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

test("whether there is such a user does not show", async () => {
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

test("a lockout says when it ends, and ends then, within 15 minutes", async () => {
  const home = await register("patient");
  const start = Date.now();
  setClock(start);
  await repeated(6, () => signIn("patient", "wrong password", home));
  const refused = await signIn("patient", password, home);
  const seconds = Number(refused.header("retry-after"));
  expect(refused.header("ratelimit")).toBe(`"account-address";r=0;t=${seconds}`);
  expect(refused.json.detail).toBe(`Try again in ${seconds} seconds.`);
  expect(seconds).toBe(900);
  setClock(start + 899_000);
  expect((await signIn("patient", password, home)).status).toBe(429);
  setClock(start + 900_000);
  expect((await signIn("patient", password, home)).status).toBe(200);
});

test("a lockout does not outlast a clock that is set back a day", async () => {
  const home = await register("timely");
  const start = Date.now();
  await repeated(6, () => signIn("timely", "wrong password", home));
  const office = stranger();
  await Promise.all(Array.from({ length: 60 }, (_, n) => signIn(`t${n}`, "wrong password", office)));
  setClock(start - 86_400_000);
  await service.sql("SELECT pg_sleep(2)"); // as long as an instance remembers without asking
  expect((await signIn("timely", password, home)).status).toBe(200);
  expect((await signIn("untried", "wrong password", office)).status).toBe(401);
});

describe("registration", () => {
  const tryRegistering = (username: string, from: string) =>
    service.send("POST", "/api/users", { json: { username, password }, headers: { "x-forwarded-for": from } });

  test("429 after too many from one address; others may", async () => {
    const from = stranger();
    const answers = [];
    for (let n = 0; n < 32; n += 1) answers.push(await tryRegistering(n % 2 ? "registrar" : `registrar${n}`, from));
    const allowed = Array.from({ length: 30 }, (_, n) => (n % 2 && n > 1 ? 409 : 201));
    expect(statusesOf(answers)).toEqual([...allowed, 429, 429]);
    expect(answers.at(-1)?.header("ratelimit-policy")).toBe('"registrations";q=30;w=900');
    expect((await tryRegistering("elsewhere", stranger())).status).toBe(201);
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

  test("is a proxy's word only as far as the proxy is trusted", async () => {
    await register("spoofed", "203.0.113.77");
    for (let guess = 0; guess < 5; guess += 1) {
      // What stands left of the proxy's own entry, the client wrote.
      await signIn("spoofed", "wrong password", `203.0.113.${guess}, 198.51.251.1`);
    }
    const refused = await signIn("spoofed", password, "203.0.113.77, 198.51.251.1");
    expect(refused.header("ratelimit-policy")).toBe('"account-address";q=5;w=900');

    const direct = await startTestService({ ...usual, TRUST_PROXY: "10.0.0.0/8" }, await createDatabase());
    await direct.register("spoofed");
    for (let guess = 0; guess < 5; guess += 1) await signIn("spoofed", "wrong password", stranger(), direct);
    expect((await signIn("spoofed", password, stranger(), direct)).status).toBe(429);
  });

  test("that is forwarded to a service that trusts no proxy is worth a warning", async () => {
    const { TRUST_PROXY: _, ...direct } = usual;
    const unaware = await startTestService(direct, service.databaseUrl);
    await signIn("nobody", "wrong password", stranger(), unaware);
    await signIn("nobody", "wrong password", stranger(), unaware);
    expect(unaware.log.filter((line) => line.includes("TRUST_PROXY")).length).toBe(1);
  });
});

test("guesses and those that are not looked at are told to the log, without what was guessed", async () => {
  const from = stranger();
  for (let guess = 0; guess < 6; guess += 1) await signIn("watched", "a guess", from);
  const events = service.log.map((line) => JSON.parse(line)).filter(({ req, event }) => event && req.address === from);
  expect(events.map(({ event }) => event)).toEqual([...Array(5).fill("password-refused"), "throttled"]);
  expect(events.at(-1)).toMatchObject({ limit: "account-address", req: { address: from } });
  expect(service.log.join("")).not.toMatch(/watched|a guess/);
});

test("THROTTLE=off lets everything be tried, and says so loudly", async () => {
  const open = await startTestService({ ...usual, THROTTLE: "off" }, service.databaseUrl);
  const guesses = await repeated(20, () => signIn("anybody", "wrong password", "198.51.252.1", open));
  expect(new Set(statusesOf(guesses))).toEqual(new Set([401]));
  expect(open.log.some((line) => JSON.parse(line).level >= 40 && line.includes("THROTTLE=off"))).toBe(true);
});
