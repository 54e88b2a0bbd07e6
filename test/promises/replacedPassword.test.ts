/** A password that was replaced during the sign-in is refused, and makes no network known. */

import type { Knex } from "knex";
import { v7 as uuidv7 } from "uuid";
import { beforeEach, describe, expect, test } from "vitest";
import { unlimited } from "../../src/access/grants.ts";
import type { AuditDetails, AuditEvent } from "../../src/audit/audit.ts";
import { type Database, openDatabase } from "../../src/database/database.ts";
import { type SessionId, sessionId, type UserId } from "../../src/identifiers.ts";
import { type Networks, networkOf, networksOf } from "../../src/networks.ts";
import { passwordHasher } from "../../src/passwords/hashing.ts";
import { sessionStore } from "../../src/sessions/store.ts";
import { throttleKeys } from "../../src/throttling/keys.ts";
import { attemptStore } from "../../src/throttling/store.ts";
import { createThrottle } from "../../src/throttling/throttling.ts";
import { policyEnforcer } from "../../src/users/acceptance.ts";
import { userStore } from "../../src/users/store.ts";
import { createUsers } from "../../src/users/users.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, password, query, secretKey } from "../support/service.ts";

const databaseUrl = await createDatabase();
const sql = (text: string, values: unknown[] = []) => query(databaseUrl, text, values);
const database = openDatabase(databaseUrl, 5);
afterTest(() => database.close());

const hasher = passwordHasher({ memoryKiB: 8192, passes: 1 }, () => {});
const keys = throttleKeys([secretKey]);
const limits = {
  "account-address": 5,
  account: 50,
  address: 1_000,
  registrations: 1_000,
  consecutive: 50,
  clients: 9,
  "client-registrations": 9,
};
const store = userStore(database);
const clock = () => new Date(1_800_000_000_000);
let audited: [AuditEvent, AuditDetails][] = [];
/** @param meanwhile runs after the password was found right, before the sign-in is completed */
const usersWith = (meanwhile: () => Promise<unknown> = async () => {}) => {
  let isFirst = true;
  return createUsers({
    store,
    hasher: {
      ...hasher,
      async verify(...args) {
        const verification = await hasher.verify(...args);
        if (isFirst) await meanwhile();
        isFirst = false;
        return verification;
      },
    },
    enforcePolicy: policyEnforcer({ minimumLength: 8, blocklist: false, contextWords: [] }),
    confirmServer: async () => {},
    throttle: createThrottle({
      limits,
      store: attemptStore(database),
      keys,
      schedule: hasher.schedule,
      clock,
    }),
    clock,
    networkKey: (username, network) => keys.knownNetworks(username, network)[0],
    enforce: () => {},
    audit: (event, details) => audited.push([event, details]),
  });
};

const home = networksOf("203.0.113.1");
const attacker = networksOf("198.51.100.9");
let registered = 0;
let user: { id: UserId; username: string };
beforeEach(async () => {
  user = await usersWith().register(`owner${++registered}`, password, home);
  audited = [];
});
const change = async (next: string, network: Networks = home) =>
  store.changePassword({
    id: user.id,
    epoch: 0,
    passwordHash: await hasher.hash(next),
    network: network[0],
    keepApiKeys: false,
  });
const knownNetworks = async () =>
  (await sql("SELECT network FROM familiar_networks WHERE user_id = $1 ORDER BY network", [user.id])).map(
    ({ network }) => network,
  );

describe("a sign-in with a password that", () => {
  const signInWhile = (meanwhile: () => Promise<unknown>) =>
    usersWith(meanwhile).signIn(user.username, password, attacker);

  test("was replaced meanwhile is refused, and audited like a wrong password", async () => {
    const signIn = signInWhile(() => change("staple horse correct"));
    await expect(signIn).rejects.toMatchObject({ slug: "invalid-credentials" });
    expect(audited).toEqual([["password-refused", { userId: user.id, reason: "wrong-password" }]]);
    expect(await knownNetworks()).toEqual(home);
  });

  test("was replaced by the same one is accepted", async () => {
    expect(await signInWhile(() => change(password))).toMatchObject({ userId: user.id, epoch: 1 });
    expect(audited).toEqual([["password-accepted", { userId: user.id }]]);
    expect(await knownNetworks()).toEqual(home);
  });

  test("was right until the user was deleted remains right for another deletion", async () => {
    const principal = await signInWhile(() => store.delete(user.id, 0));
    await usersWith().remove(principal);
    await expect(usersWith().withCurrentEpoch(principal)).rejects.toMatchObject({ slug: "invalid-credentials" });
  });
});

/** Runs changes in a transaction that stays open. */
async function openTransaction(changes: (on: Database) => Promise<unknown>): Promise<{ commit(): Promise<void> }> {
  const transaction: Knex.Transaction = await database.read((knex) => knex.transaction());
  await changes({ ...database, write: (change) => Promise.resolve(change(transaction)) });
  return { commit: async () => void (await transaction.commit()) };
}

/** Resolves when the change waits for a lock, or has ended without waiting. */
async function untilWaiting(change: Promise<unknown>): Promise<void> {
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  void change.then(end, end);
  const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
  while (!isDone && (await sql(waiting)).length === 0);
}

const network = networkOf("198.51.100.9");
type Remember = (on: Database, session: SessionId) => Promise<void>;
const rememberings: [string, Remember][] = [
  ["a sign-in", (on) => attemptStore(on).rememberNetwork({ userId: user.id, epoch: 0, network, key: user.id })],
  ["a refresh", (on, id) => userStore(on).rememberNetwork({ userId: user.id, sessionId: id, network, key: user.id })],
];
describe.each(rememberings)("the network of %s", (by, remember) => {
  let session: SessionId;
  beforeEach(async () => {
    session = sessionId(uuidv7());
    const secrets = { seed: Buffer.alloc(32), digest: Buffer.alloc(32) };
    await sessionStore(database).insert(
      { id: session, userId: user.id, epoch: 0, ...secrets, ...unlimited, address: home[0], userAgent: undefined },
      { idleSeconds: 1000, lifetimeSeconds: 1000, graceSeconds: 10, sessionsPerUser: 10 },
      600,
    );
  });

  test("is remembered", async () => {
    await remember(database, session);
    expect(await knownNetworks()).toEqual([network, ...home]);
  });

  test("is not remembered after a password change", async () => {
    await change("staple horse correct");
    await remember(database, session);
    expect(await knownNetworks()).toEqual(home);
  });

  test("is not remembered during a password change", async () => {
    const passwordChange = await openTransaction((on) =>
      userStore(on).changePassword({ id: user.id, epoch: 0, passwordHash: "-", network: home[0], keepApiKeys: false }),
    );
    const remembered = remember(database, session);
    // A sign-in must not wait. No request waits for the network of a refresh.
    await (by === "a refresh" ? untilWaiting(remembered) : remembered);
    await passwordChange.commit();
    await remembered;
    expect(await knownNetworks()).toEqual(home);
  });

  test("is forgotten by a password change that waited for it", async () => {
    const remembering = await openTransaction((on) => remember(on, session));
    const changed = change("staple horse correct");
    await untilWaiting(changed);
    await remembering.commit();
    expect(await changed).toMatchObject({ revocation: { subject: user.id } });
    expect(await knownNetworks()).toEqual(home);
  });
});
