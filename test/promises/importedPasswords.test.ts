/** A user with the hash of another program signs in, and gets a hash of this service at the first right password. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { hash as bcrypt } from "@node-rs/bcrypt";
import { v7 as uuidv7 } from "uuid";
import { describe, expect, test } from "vitest";
import type { ForeignHash } from "../../src/passwords/foreign/foreignHash.ts";
import { passwordHasher } from "../../src/passwords/hashing.ts";
import { createRequestContext, runInRequest } from "../../src/requestContext.ts";
import { startTestService, workOfHash } from "../support/service.ts";

type Vector = { source: string; password: string; hash: string; note?: string; isDefault?: boolean };
const vectors: Vector[] = JSON.parse(
  await readFile(new URL("../fixtures/foreignHashes/vectors.json", import.meta.url), "utf8"),
);
const vectorOf = (note: string, isWanted: (vector: Vector) => boolean = () => true): Vector => {
  const found = vectors.find((vector) => vector.note === note && isWanted(vector));
  if (!found) throw new Error(`no vector of ${note}`);
  return found;
};

const service = await startTestService();
const signIn = (username: string, password: string) =>
  service.send("GET", "/api/resource", { basic: [username, password] });
const insert = (username: string, hash: string) =>
  service.sql("INSERT INTO users (id, username, password_hash) VALUES ($1, $2, $3)", [uuidv7(), username, hash]);
const storedHash = async (username: string) =>
  String((await service.sql("SELECT password_hash FROM users WHERE username = $1", [username]))[0]?.["password_hash"]);
/** The hashing work of a request, in KiB times passes. */
const workOf = async (request: () => Promise<unknown>) => {
  const before = service.hashingWork();
  await request();
  return service.hashingWork() - before;
};
const ours = "$argon2id$v=19$m=1024,t=1,p=1$";

test.each([
  ["sha256_crypt", vectorOf("sha256_crypt", ({ isDefault }) => isDefault === true)],
  ["custom_app_context, which is sha512_crypt", vectorOf("custom_app_context")],
])("the article's own database signs in with curl: %s of passlib", async (name, { hash, password }) => {
  expect(hash).toMatch(/^\$[56]\$rounds=(535|656)000\$/);
  const username = `susan${name.length}`;
  await insert(username, hash);
  const curl = async () => {
    const args = ["-s", "-u", `${username}:${password}`, `${service.url}/api/resource`];
    return JSON.parse((await promisify(execFile)("curl", args)).stdout) as object;
  };
  expect(await curl()).toEqual({ data: `Hello, ${username}!` });
  const replaced = await storedHash(username);
  expect(replaced.startsWith(ours)).toBe(true);
  expect(await curl()).toEqual({ data: `Hello, ${username}!` });
  expect(await storedHash(username)).toBe(replaced);
  expect((await signIn(username, "wrong password")).status).toBe(401);
});

describe("a user whose hash is foreign", () => {
  test("keeps it after a wrong password, which costs the work of a hash of ours as well", async () => {
    const { hash } = vectorOf("bcrypt");
    await insert("foreign", hash);
    expect((await signIn("foreign", "wrong password")).status).toBe(401);
    const works = [
      await workOf(() => signIn("foreign", "wrong password")),
      await workOf(() => signIn("foreign", "impossible\u{D800}")),
      await workOf(() => signIn("unknown", "wrong password")),
    ];
    expect(works).toEqual(works.map(() => workOfHash));
    expect(await storedHash("foreign")).toBe(hash);
  });

  test("does the work of one hash of ours for the right password, which is the new hash", async () => {
    const { hash, password } = vectorOf("ldap_salted_sha1");
    await insert("upgraded", hash);
    expect(await workOf(() => signIn("upgraded", password))).toBe(workOfHash);
    expect((await storedHash("upgraded")).startsWith(ours)).toBe(true);
    expect((await signIn("upgraded", password)).status).toBe(200);
  });

  test("signs in with the password as it was typed, and then in each of its forms", async () => {
    const { hash, password } = vectorOf("pbkdf2_sha256", ({ password }) => password !== password.normalize("NFC"));
    await insert("normalized", hash);
    expect((await signIn("normalized", password.normalize("NFC"))).status).toBe(401);
    expect((await signIn("normalized", password)).status).toBe(200);
    expect((await signIn("normalized", password.normalize("NFC"))).status).toBe(200);
    expect((await signIn("normalized", password)).status).toBe(200);
  });

  test("does not sign in with the hash itself", async () => {
    const { hash } = vectorOf("ldap_salted_sha256");
    await insert("copied", hash);
    expect((await signIn("copied", hash)).status).toBe(401);
  });

  test("gets a new hash of the whole password from bcrypt, which counts 72 bytes", async () => {
    const password = "0123456789".repeat(8);
    await insert("long", await bcrypt(password, 4));
    expect((await signIn("long", password)).status).toBe(200);
    expect((await signIn("long", `${password.slice(0, 72)}anything`)).status).toBe(401);
  });
});

test.each([
  ["bcrypt", `$2b$31$${"a".repeat(21)}u${"a".repeat(30)}e`],
  ["sha512_crypt", `$6$rounds=999999999$saltsalt$${"a".repeat(85)}/`],
  ["PBKDF2", `pbkdf2_sha256$999999999$salt$${Buffer.alloc(32).toString("base64")}`],
  ["scrypt", `scrypt:16777216:8:1$salt$${"ab".repeat(64)}`],
])("a stored hash of %s that costs too much is refused without computing it", async (name, hash) => {
  const username = `poisoned-${name.toLowerCase()}`;
  await insert(username, hash);
  const began = performance.now();
  expect(await workOf(() => signIn(username, "x"))).toBe(workOfHash);
  expect(performance.now() - began).toBeLessThan(5000);
  expect(service.log.some((line) => line.includes("stored password hash"))).toBe(true);
  expect(service.log.join("")).not.toContain(hash);
});

describe("the queue", () => {
  const slow: Promise<string> = bcrypt("right", 12);
  const hasherWith = (checkingForeign: (hash: ForeignHash) => void = () => {}) =>
    passwordHasher({ memoryKiB: 8192, passes: 1 }, () => {}, { checkingForeign });
  const turn = (network: number, deadline: number) => ({ networks: [`${network}`], account: `${network}`, deadline });

  test("checks one foreign hash at a time, and rejects more than can wait without filling the slots of others", async () => {
    const checked: ForeignHash[] = [];
    const hasher = hasherWith((hash) => checked.push(hash));
    const stored = await slow;
    const deadline = performance.now() + 60_000;
    const attempts = Array.from({ length: 20 }, (_, network) =>
      hasher.schedule(turn(network, deadline), () => hasher.verify(stored, "wrong", deadline)),
    );
    const settled = Promise.allSettled(attempts);
    // While they wait, a user with a hash of ours is checked.
    const own = await hasher.hash("mine");
    const mine = await hasher.schedule(turn(99, deadline), () => hasher.verify(own, "mine", deadline));
    expect(mine.matches).toBe(true);
    expect(checked.length).toBeLessThan(4);
    const refused = (await settled).filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    for (const result of refused) expect(result).toMatchObject({ reason: { slug: "overloaded" } });
    expect(checked.length).toBe(20 - refused.length);
  });

  test("does not check a foreign hash after the deadline", async () => {
    const checked: ForeignHash[] = [];
    const hasher = hasherWith((hash) => checked.push(hash));
    await expect(hasher.verify(await slow, "right", performance.now() - 1)).rejects.toMatchObject({
      slug: "overloaded",
    });
    expect(checked).toEqual([]);
  });

  test("leaves the statements of the request their time", async () => {
    const context = createRequestContext("203.0.113.1", undefined);
    const before = context.deadline;
    const began = performance.now();
    await runInRequest(context, async () => hasherWith().verify(await slow, "right"));
    const elapsed = performance.now() - began;
    expect(context.deadline - before).toBeGreaterThan(50); // bcrypt takes at least 100 ms with this cost
    expect(context.deadline - before).toBeLessThanOrEqual(elapsed);
  });
});
