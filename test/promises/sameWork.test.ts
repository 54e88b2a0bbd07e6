/** A guess causes the same work whether or not the user exists: the same statements, equally often. */

import { expect, test } from "vitest";
import { unlimited } from "../../src/access/grants.ts";
import type { AuditDetails, AuditEvent } from "../../src/audit/audit.ts";
import { openDatabase } from "../../src/database/database.ts";
import { sessionId } from "../../src/identifiers.ts";
import { type Networks, networkOf, networksOf, unknownNetwork } from "../../src/networks.ts";
import { passwordHasher } from "../../src/passwords/hashing.ts";
import { sessionStore } from "../../src/sessions/store.ts";
import { throttleKeys } from "../../src/throttling/keys.ts";
import { attemptStore } from "../../src/throttling/store.ts";
import { createThrottle } from "../../src/throttling/throttling.ts";
import { policyEnforcer } from "../../src/users/acceptance.ts";
import { userStore } from "../../src/users/store.ts";
import { createUsers } from "../../src/users/users.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

let statements: string[] = [];
let audited: [AuditEvent, AuditDetails][] = [];
const database = openDatabase(await createDatabase(), 2, {
  observe: (statement) => {
    statements.push(statement);
    return () => {};
  },
});
afterTest(() => database.close());
const keys = throttleKeys([secretKey]);
const hasher = passwordHasher({ memoryKiB: 8192, passes: 1 }, () => {});
const limits = {
  "account-address": 5,
  account: 10,
  address: 1_000,
  registrations: 10,
  consecutive: 30,
  clients: 9,
  "client-registrations": 9,
};
let now = new Date(1_800_000_000_000);
const users = createUsers({
  store: userStore(database),
  hasher,
  enforcePolicy: policyEnforcer({ minimumLength: 8, blocklist: false, contextWords: [] }),
  confirmServer: async () => {},
  throttle: createThrottle({
    limits,
    store: attemptStore(database),
    keys,
    schedule: hasher.schedule,
    clock: () => now,
  }),
  networkKey: (username, network) => keys.knownNetworks(username, network)[0],
  enforce: () => {},
  clock: () => now,
  audit: (event, details) => audited.push([event, details]),
});

let addresses = 0;
const stranger = (): Networks => networksOf(`198.51.100.${++addresses}`);

/** The work of one guess: its statements, its problem, and its audit events. */
async function workOf(username: string, networks: Networks, secret = "wrong password") {
  statements = [];
  audited = [];
  const hashed = hasher.workDone();
  const problem = await users.signIn(username, secret, networks).then(
    () => undefined,
    ({ slug, rateLimit, detail }) => ({ slug, rateLimit, detail }),
  );
  const events = audited.map(([event, details]) => [
    event,
    Object.entries(details).filter(([, value]) => value !== undefined),
  ]);
  return { statements, problem, events, hashed: hasher.workDone() - hashed };
}

const kinds = ["registered", "blocked", "unknown", "not a name", "x".repeat(300)];
await users.register("registered", password, networksOf("203.0.113.1"));
const blocked = await users.register("blocked", password, networksOf("203.0.113.4"));
await database.write((knex) => knex("users").where({ username: "blocked" }).update({ blocked_at: new Date() }));

test("while guesses are evaluated", async () => {
  const networks = stranger();
  const works = [];
  for (const username of kinds) works.push(await workOf(username, networks));
  for (const { statements, hashed } of works) {
    expect(statements).toEqual(works[0]?.statements);
    expect(hashed).toBe(8192);
  }
  expect(works[0]?.statements.length).toBe(2);
});

test("with the right password of a blocked user, which only the audit log tells from an unknown user", async () => {
  const networks = stranger();
  const [right, unknown] = [await workOf("blocked", networks, password), await workOf("unknown", networks, password)];
  expect({ ...right, events: [] }).toEqual({ ...unknown, events: [] });
  const event = (...details: string[][]) => [["password-refused", details]];
  expect(right.events).toEqual(event(["userId", blocked.id], ["reason", "blocked"]));
  expect(unknown.events).toEqual(event(["reason", "unknown-user"]));
});

test("rejected at the address that has guessed", async () => {
  const networks = stranger();
  for (const username of kinds) {
    for (let guess = 0; guess < 5; guess += 1) await workOf(username, networks);
  }
  // The first rejection reads the counts; the next ones read nothing.
  for (let refusal = 0; refusal < 2; refusal += 1) {
    const works = [];
    for (const username of kinds) works.push(await workOf(username, networks));
    for (const work of works) expect(work).toEqual(works[0]);
    expect(works[0]).toMatchObject({
      problem: { slug: "too-many-requests" },
      hashed: 0,
      events: [["throttled", [["limit", "account-address"]]]],
    });
    expect(works[0]?.statements.length).toBe(refusal === 0 ? 1 : 0);
  }
});

test("rejected because others have guessed, in a window or consecutively", async () => {
  for (const [limit, seconds] of [
    ["account", 900], // after 14 to 15 guesses in all
    ["consecutive", 30 * 86_400], // of which unknown networks have 24
  ] as const) {
    now = new Date(now.getTime() + 900_000);
    for (const username of kinds) for (let n = 0; n < 10; n += 1) await workOf(username, stranger());
    const networks = stranger();
    const works = [];
    for (const username of kinds) works.push(await workOf(username, networks));
    for (const work of works) expect(work).toEqual(works[0]);
    expect(works[0]).toMatchObject({
      problem: { slug: "too-many-requests" },
      events: [["throttled", [["limit", limit]]]],
    });
    expect(Number(works[0]?.problem?.rateLimit?.retryAfterSeconds)).toBeLessThanOrEqual(seconds);
    expect(works[0]?.statements.length).toBe(1);
    expect(works[0]?.statements[0]).not.toMatch(/\busers\b/);
  }
});

test("a network where a live session is used becomes known", async () => {
  now = new Date(now.getTime() + 900_000);
  const { id: userId, username } = await users.register("roamer", password, networksOf("203.0.113.2"));
  for (let n = 0; n < 12; n += 1) await workOf("roamer", stranger());
  const train = networkOf("203.0.113.3");
  const id = sessionId("01890000-0000-7000-8000-000000000001");
  const secrets = { seed: Buffer.alloc(32), digest: Buffer.alloc(32) };
  const inserted = await sessionStore(database).insert(
    { id, userId, epoch: 0, ...secrets, ...unlimited, address: train, userAgent: undefined },
    { idleSeconds: 1000, lifetimeSeconds: 1000, graceSeconds: 10, sessionsPerUser: 10 },
    600,
  );
  expect(inserted).toBeDefined();
  await users.rememberNetwork({ userId, username }, train, id);
  expect((await users.signIn("roamer", password, [train])).userId).toBe(userId);
  await expect(users.signIn("roamer", password, stranger())).rejects.toMatchObject({ slug: "too-many-requests" });
  // An unknown address never becomes known.
  await users.rememberNetwork({ userId, username }, unknownNetwork, id);
  await expect(users.signIn("roamer", password, [unknownNetwork])).rejects.toMatchObject({ slug: "too-many-requests" });
});
