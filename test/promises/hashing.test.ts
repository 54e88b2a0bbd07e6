/** Password hashing is bounded, costs the same work for any wrong password, and is upgraded at sign-in. */
import { hash } from "@node-rs/argon2";
import pg from "pg";
import { describe, expect, test, vi } from "vitest";
import { passwordHasher } from "../../src/passwords/hashing.ts";
import { password, realHashes, startTestService } from "../support/service.ts";

const service = await startTestService(realHashes);
const signIn = (username: string, secret: string) =>
  service.send("GET", "/api/resource", { basic: [username, secret] });
/** The hashing work of a request, in KiB times passes. */
const workOf = async (request: () => Promise<unknown>) => {
  const before = service.hashingWork();
  await request();
  return service.hashingWork() - before;
};
const storedHash = async (username: string) =>
  String((await service.sql("SELECT password_hash FROM users WHERE username = $1", [username]))[0]?.["password_hash"]);
const storeHash = (username: string, value: string) =>
  service.sql("UPDATE users SET password_hash = $2 WHERE username = $1", [username, value]);
const cheap = { memoryCost: 8192, timeCost: 1, parallelism: 1 };

describe("a wrong password costs the same work", () => {
  test("for a user that exists, one that does not, and a name that cannot exist", async () => {
    await service.register("known");
    const works = [
      await workOf(() => signIn("known", "wrong password")),
      await workOf(() => signIn("unknown", "wrong password")),
      await workOf(() => signIn("not a name", "wrong password")),
      await workOf(() => signIn("known", "impossible\u0007password")),
      await workOf(() => signIn("unknown", "impossible\u0007password")),
    ];
    expect(works).toEqual(works.map(() => 19_456 * 2));
  });

  test("whatever the age of the hash", async () => {
    await service.register("veteran");
    await storeHash("veteran", await hash(password, cheap));
    expect(await workOf(() => signIn("veteran", "wrong password"))).toBe(19_456 * 2);
  });
});

describe("the extra work for a cheaper hash", () => {
  test("needs no more memory than a current hash", async () => {
    const largest: number[] = [];
    const hasher = passwordHasher({ memoryKiB: 16_384, passes: 8 }, () => {}, {
      computing: (cost) => largest.push(cost.memoryKiB),
    });
    const before = hasher.workDone();
    await hasher.verify(await hash(password, { memoryCost: 8192, timeCost: 3, parallelism: 1 }), "wrong");
    expect(hasher.workDone() - before).toBe(16_384 * 8);
    expect(Math.max(...largest)).toBe(16_384);
  });
});

describe("a stored hash", () => {
  test("of another cost is upgraded at the next sign-in, and only then", async () => {
    await service.register("upgraded");
    await storeHash("upgraded", await hash(password, cheap));
    expect((await signIn("upgraded", "wrong password")).status).toBe(401);
    expect(await storedHash("upgraded")).toContain("$m=8192,t=1,p=1$");
    const token = await service.token("upgraded");
    expect(await storedHash("upgraded")).toContain("$m=19456,t=2,p=1$");
    expect((await signIn("upgraded", password)).status).toBe(200);
    expect((await service.send("GET", "/api/resource", { bearer: token })).status).toBe(200);
  });

  test("is not upgraded over a password change in between", async () => {
    await service.register("changed");
    await storeHash("changed", await hash(password, cheap));
    const other = await hash("staple horse correct", { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
    const change = new pg.Client(service.databaseUrl);
    await change.connect();
    await change.query("BEGIN");
    await change.query("UPDATE users SET password_hash = $1 WHERE username = 'changed'", [other]);
    const signedIn = signIn("changed", password);
    const waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    await vi.waitUntil(async () => (await service.sql(waiting)).length > 0, { timeout: 15_000, interval: 5 });
    await change.query("COMMIT");
    await change.end();
    expect((await signedIn).status).toBe(200); // the password was right when verified
    expect(await storedHash("changed")).toBe(other);
    expect((await signIn("changed", password)).status).toBe(401);
  });

  test.each([
    ["4 GiB", "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"],
    ["a million passes", "$argon2id$v=19$m=8192,t=1000000,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"],
    ["64 lanes", "$argon2id$v=19$m=8192,t=1,p=64$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"],
    ["another algorithm", "$2b$12$abcdefghijklmnopqrstuuJ8Z1q3Z5Z5Z5Z5Z5Z5Z5Z5Z5Z5Z5Z5Z"],
    ["nothing", ""],
  ])("that claims %s is refused without computing it", async (claim, value) => {
    const username = claim.replace(/ /g, "").toLowerCase();
    await service.register(username);
    await storeHash(username, value);
    expect(await workOf(() => signIn(username, password))).toBe(19_456 * 2);
    expect((await signIn(username, password)).status).toBe(401);
    expect(service.log.some((line) => line.includes("stored password hash"))).toBe(true);
  });

  test("that is corrupt is a 500, and lets nobody in", async () => {
    await service.register("broken");
    await storeHash("broken", "$argon2id$v=19$m=19456,t=2,p=1$***$***");
    expect((await signIn("broken", password)).status).toBe(500);
  });
});

test.each([
  ["of many accounts", (index: number) => `nobody${index}`],
  ["of one account", () => "nobody"],
])(
  "more sign-ins %s than can be checked in time get a 503 overloaded within a second; the rest is checked",
  async (_, name) => {
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 150 }, (_, index) => signIn(name(index), "wrong password")));
    expect(performance.now() - began).toBeLessThan(3000);
    const checked = answers.filter(({ status }) => status === 401);
    const refused = answers.filter(({ problem }) => problem === "overloaded");
    expect(checked.length + refused.length).toBe(150);
    expect(checked.length).toBeGreaterThan(10);
    expect(refused.length).toBeGreaterThan(10);
    expect(refused[0]?.header("retry-after")).toBe("2");
    expect((await signIn("nobody", "wrong password")).status).toBe(401);
  },
);

test("a password that waited too long is not hashed", async () => {
  const hasher = passwordHasher({ memoryKiB: 8192, passes: 1 }, () => {});
  const before = hasher.workDone();
  await expect(hasher.verify(undefined, "x", performance.now() - 1)).rejects.toMatchObject({ slug: "overloaded" });
  expect(hasher.workDone()).toBe(before);
});

test("at most two hashes run at a time, and at most 64 wait", async () => {
  const hasher = passwordHasher({ memoryKiB: 32_768, passes: 1 }, () => {});
  const slots = 6;
  const tasks = Array.from({ length: slots + 70 }, (_, index) =>
    // With enough time for a busy machine.
    hasher.schedule({ networks: [`${index}`], account: `${index}`, deadline: performance.now() + 60_000 }, (deadline) =>
      hasher.hash("x", deadline),
    ),
  );
  const settled = Promise.allSettled(tasks);
  await new Promise(setImmediate);
  expect(hasher.load()).toEqual({ running: 2, waiting: slots - 2 + 64 });
  const refused = (await settled).filter(({ status }) => status === "rejected");
  expect(refused.length).toBe(70 - 64);
});
