/** The default limits on guessing: exactly how many wrong passwords are evaluated. */
import { describe, expect, test } from "vitest";
import { unlockAccount } from "../../src/cli/account.ts";
import { describeSettings } from "../../src/config/config.ts";
import { openDatabase } from "../../src/database/database.ts";
import { windowSeconds } from "../../src/throttling/limits.ts";
import { afterTest } from "../support/afterTest.ts";
import type { Received } from "../support/client.ts";
import {
  password,
  secretKey,
  startTestService,
  type TestService,
  toNextWindowSeconds,
  untilServed,
} from "../support/service.ts";

const defaults = Object.fromEntries(
  describeSettings()
    .filter(({ name }) => name.startsWith("THROTTLE_"))
    .map(({ name, fallback }) => [name, fallback]),
);
const settings = { ...defaults, THROTTLE_REGISTRATIONS: "1000", TRUST_PROXY: "1" };
const service = await startTestService(settings);
let advanced = toNextWindowSeconds();
service.advance(advanced);
const advance = (seconds: number): void => {
  advanced += seconds;
  service.advance(seconds);
};
/** Another instance on the same database, or the same one after a restart. */
const another = async (more: Record<string, string> = {}): Promise<TestService> => {
  const started = await startTestService({ ...settings, ...more }, service.databaseUrl);
  started.advance(advanced);
  return started;
};

let addresses = 0;
/** A new address. */
const stranger = () => `198.51.${Math.floor(++addresses / 250)}.${addresses % 250}`;
const signIn = (username: string, secret: string, from: string, at: TestService = service) =>
  at.send("GET", "/api/resource", { basic: [username, secret], headers: { "x-forwarded-for": from } });
const register = async (username: string, from = stranger()): Promise<string> => {
  await service.register(username, { "x-forwarded-for": from });
  return from;
};
type Guess = [username: string, from: string];
/** Guesses a few at a time, and repeats those rejected as overloaded. @returns how many were evaluated, and the last rejection */
async function guess(guesses: Guess[]): Promise<{ looked: number; refusal: Received | undefined }> {
  const due = [...guesses];
  const answers: Received[] = [];
  while (due.length > 0) {
    const some = due.splice(0, 8);
    for (const [index, answer] of (
      await Promise.all(some.map((one) => signIn(one[0], "wrong password", one[1])))
    ).entries()) {
      if (answer.status === 503) due.push(some[index] as Guess);
      else answers.push(answer);
    }
  }
  const refused = answers.filter(({ status }) => status === 429);
  expect(answers.filter(({ status }) => status === 401).length).toBe(answers.length - refused.length);
  return { looked: answers.length - refused.length, refusal: refused.at(-1) };
}
const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));
const policyOf = (answer: Received | undefined) => answer?.header("ratelimit-policy");

describe("one address", () => {
  test("can guess 40 times at accounts without a sign-in from there, and 50 times in all", async () => {
    advance(windowSeconds);
    const office = stranger();
    for (let n = 0; n < 24; n += 1) await register(`familiar${n}`, office);
    const strange = await guess(times(60, (n) => [`unknown${n}`, office]));
    expect(strange.looked).toBe(40);
    expect(policyOf(strange.refusal)).toBe('"address";q=50;w=900');
    expect((await signIn("familiar23", password, office)).status).toBe(200);
    const familiar = await guess(times(120, (n) => [`familiar${n % 24}`, office]));
    expect(familiar.looked).toBe(10);
    expect(policyOf(familiar.refusal)).toBe('"address";q=50;w=900');
    advance(windowSeconds);
    expect((await guess(times(120, (n) => [`familiar${n % 24}`, office]))).looked).toBe(50);
  });

  test.each<[string, number, string | undefined, (n: number) => string]>([
    ["a /64 of IPv6", 40, '"address";q=50;w=900', (n) => `2001:db8:64::${n + 1}`],
    ["a /56 of IPv6", 60, '"address";q=75;w=900', (n) => `2001:db8:56:${n.toString(16)}::1`],
    ["a /48 of IPv6", 80, '"address";q=100;w=900', (n) => `2001:db8:48:${n.toString(16)}00::1`],
  ])("%s guesses %d times at as many accounts as it likes", async (_name, most, policy, from) => {
    advance(windowSeconds);
    const { looked, refusal } = await guess(times(120, (n) => [`somebody${n}`, from(n)]));
    expect(looked).toBe(most);
    expect(policyOf(refusal)).toBe(policy);
  });

  test.each<[string, number, (n: number) => string]>([
    ["an IPv4 address", 5, () => "198.51.255.1"],
    ["a /64 of IPv6", 5, (n) => `2001:db8:164::${n + 1}`],
    ["a /56 of IPv6", 8, (n) => `2001:db8:156:${n.toString(16)}::1`],
    ["a /48 of IPv6", 10, (n) => `2001:db8:148:${n.toString(16)}00::1`],
  ])("%s guesses %d times at one account, which locks nobody else out", async (name, most, from) => {
    advance(windowSeconds);
    const username = name.replaceAll(/\W/g, "").toLowerCase();
    await register(username);
    expect((await guess(times(30, (n) => [username, from(n)]))).looked).toBe(most);
    expect((await signIn(username, password, stranger())).status).toBe(200);
  });

  test.each<[string, number, (n: number) => string]>([
    ["a /64 of IPv6", 30, (n) => `2001:db8:264::${n + 1}`],
    ["a /56 of IPv6", 45, (n) => `2001:db8:256:${n.toString(16)}::1`],
    ["a /48 of IPv6", 60, (n) => `2001:db8:248:${n.toString(16)}00::1`],
  ])("%s registers %d times", async (_name, most, from) => {
    const taken = await service.register(); // costs a hash each time, like any name
    // A 503 may count or not, so that all of them are repeated, in another window.
    const answers = await untilServed(async () => {
      advance(windowSeconds);
      const strict = await another({ THROTTLE_REGISTRATIONS: "30" });
      const answers: Received[] = [];
      for (let n = 0; n < 64; n += 1) {
        const json = { username: taken.username, password };
        answers.push(await strict.send("POST", "/api/users", { json, headers: { "x-forwarded-for": from(n) } }));
      }
      return answers;
    });
    expect(answers.map(({ status }) => status)).toEqual(times(64, (n) => (n < most ? 409 : 429)));
  });
});

test("50 guesses from unknown networks lock an account for unknown networks only", async () => {
  advance(windowSeconds);
  const home = await register("famous");
  const { looked, refusal } = await guess(times(70, () => ["famous", stranger()]));
  expect(looked).toBe(50);
  expect(policyOf(refusal)).toBe('"account";q=50;w=900');
  expect((await signIn("famous", password, stranger())).status).toBe(429);
  expect((await signIn("famous", password, home)).status).toBe(200);
});

describe("consecutive failures", () => {
  test.each(["determined", "no such user", "nobody-at-all"])("are at most a hundred for %s", async (username) => {
    advance(windowSeconds);
    const exists = username === "determined";
    const home = exists ? await register(username) : stranger();
    let total = 0;
    let last: Received | undefined;
    for (let window = 0; window < 4; window += 1) {
      const { looked, refusal } = await guess(times(60, () => [username, stranger()]));
      total += looked;
      last = refusal;
      advance(windowSeconds);
    }
    expect(total).toBe(80);
    expect(policyOf(last)).toBe('"consecutive";q=100;w=2592000');
    // Counted from the last failure, in the second of four windows.
    const seconds = Number(last?.header("retry-after"));
    expect(seconds).toBeGreaterThan(30 * 86_400 - 3 * windowSeconds);
    expect(seconds).toBeLessThanOrEqual(30 * 86_400);
    expect(last?.header("ratelimit")).toBe(`"consecutive";r=0;t=${seconds}`);

    const restarted = await another();
    expect((await signIn(username, password, stranger(), restarted)).status).toBe(429);
    if (!exists) return;
    // Known networks have the rest.
    for (let window = 0; window < 5; window += 1) {
      total += (await guess(times(8, () => [username, home]))).looked;
      advance(windowSeconds);
    }
    expect(total).toBe(100);
    expect((await signIn(username, password, home)).status).toBe(429);

    const database = openDatabase(service.databaseUrl, 1);
    afterTest(() => database.close());
    expect(await unlockAccount(database, [secretKey], username.toUpperCase())).toBe(true);
    expect(await unlockAccount(database, [secretKey], username)).toBe(false);
    advance(2); // a rejection is cached briefly, by another clock
    expect((await signIn(username, password, home, await another())).status).toBe(200);
  });

  test("end with the right password, and 30 days after the last", async () => {
    advance(windowSeconds);
    const home = await register("absent");
    for (let window = 0; window < 3; window += 1) {
      await guess(times(45, () => ["absent", stranger()]));
      advance(windowSeconds);
    }
    expect((await signIn("absent", password, stranger())).status).toBe(429);
    expect((await signIn("absent", password, home)).status).toBe(200);
    expect((await signIn("absent", "wrong password", stranger())).status).toBe(401);
    for (let window = 0; window < 3; window += 1) {
      await guess(times(45, () => ["absent", stranger()]));
      advance(windowSeconds);
    }
    const refused = await signIn("absent", password, stranger());
    expect(refused.status).toBe(429);
    advance(Number(refused.header("retry-after")));
    expect((await signIn("absent", "wrong password", stranger())).status).toBe(401);
  });

  test("are kept when Postgres crashes", async () => {
    const [table] = await service.sql("SELECT relpersistence FROM pg_class WHERE relname = 'password_failures'");
    expect(table).toEqual({ relpersistence: "p" });
  });

  test("and known networks survive a change of SECRET_KEY", async () => {
    advance(windowSeconds);
    const home = await register("rekeyed");
    await guess(times(45, () => ["rekeyed", stranger()]));
    advance(windowSeconds);
    const changed = await another({
      SECRET_KEY: "the next secret key, long enough: 0123456789",
      SECRET_KEY_PREVIOUS: secretKey,
    });
    let looked = 0;
    for (let n = 0; n < 50; n += 1) {
      looked += (await signIn("rekeyed", "wrong password", stranger(), changed)).status === 401 ? 1 : 0;
    }
    expect(looked).toBe(80 - 45);
    expect((await signIn("rekeyed", password, home, changed)).status).toBe(200);
    expect((await signIn("rekeyed", "wrong password", stranger(), changed)).status).toBe(401);
  });
});
