/** A sign-in from a known network takes two statements, and a refresh one. Rights and APIs are read once. */
import { expect, test } from "vitest";
import { unlimited } from "../../src/access/grants.ts";
import { createAccess } from "../../src/access/rights.ts";
import { apiStore, rightsStore } from "../../src/access/store.ts";
import { openDatabase } from "../../src/database/database.ts";
import { networksOf } from "../../src/networks.ts";
import { passwordHasher } from "../../src/passwords/hashing.ts";
import { refreshSecrets } from "../../src/sessions/refreshSecrets.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import { sessionStore } from "../../src/sessions/store.ts";
import { throttleKeys } from "../../src/throttling/keys.ts";
import { attemptStore } from "../../src/throttling/store.ts";
import { createThrottle } from "../../src/throttling/throttling.ts";
import { policyEnforcer } from "../../src/users/acceptance.ts";
import { userStore } from "../../src/users/store.ts";
import { createUsers } from "../../src/users/users.ts";
import { grantsOn } from "../support/accessControl.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

let names: string[] = [];
const database = openDatabase(await createDatabase(), 2, {
  observe: (statement) => {
    names.push(/\/\* ([\w-]+) \*\//.exec(statement)?.[1] ?? statement);
    return () => {};
  },
});
afterTest(() => database.close());
/** The statements that a request runs, by name. */
async function statementsOf(request: () => Promise<unknown>): Promise<string[]> {
  names = [];
  await request().catch(() => {});
  return names;
}

const parts = { enforce: () => {}, audit: () => {} };
const keys = throttleKeys([secretKey]);
const hasher = passwordHasher({ memoryKiB: 8192, passes: 1 }, () => {});
const limits = {
  "account-address": 3,
  account: 50,
  address: 1_000,
  registrations: 10,
  consecutive: 30,
  clients: 9,
  "client-registrations": 9,
};
const attempts = { store: attemptStore(database), keys, schedule: hasher.schedule };
const users = createUsers({
  store: userStore(database),
  hasher,
  enforcePolicy: policyEnforcer({ minimumLength: 8, blocklist: false, contextWords: [] }),
  confirmServer: async () => {},
  throttle: createThrottle({ ...attempts, limits, clock: () => new Date(1_800_000_000_000) }),
  networkKey: (username, network) => keys.knownNetworks(username, network)[0],
  clock: () => new Date(1_800_000_000_000),
  ...parts,
});
const newInstance = () =>
  createSessions({
    store: sessionStore(database),
    tokens: {
      ttlSeconds: 600,
      prepare: () => async () => "unused",
    },
    grants: grantsOn(database),
    secrets: refreshSecrets([secretKey]),
    times: { idleSeconds: 1000, lifetimeSeconds: 1000, graceSeconds: 10, sessionsPerUser: 1 },
    secondsVisible: (_xid, startedSecondsAgo) => startedSecondsAgo,
    confirmServer: () => Promise.resolve(),
    ...parts,
  });
const sessions = newInstance();

const home = networksOf("203.0.113.1");
let addresses = 0;
const stranger = () => networksOf(`198.51.100.${++addresses}`);
const device = { address: home[0], userAgent: undefined };
await users.register("anna", password, home);
const signIn = (networks = home, secret = password) => users.signIn("anna", secret, networks);

test("a sign-in takes two statements from a known network, and a third one from a new network", async () => {
  const known = ["begin-sign-in", "complete-sign-in"];
  expect(await statementsOf(() => signIn())).toEqual(known);
  const networks = stranger();
  expect(await statementsOf(() => signIn(networks))).toEqual([...known, "remember-password-network"]);
  expect(await statementsOf(() => signIn(networks))).toEqual(known);
  expect(await database.read((knex) => knex("familiar_networks").count("* AS networks"))).toEqual([{ networks: "2" }]);
});

test("a wrong password takes two, and a rejected attempt at most one", async () => {
  const networks = stranger();
  const guess = () => statementsOf(() => signIn(networks, "wrong password"));
  for (let n = 0; n < 3; n += 1) expect(await guess()).toEqual(["begin-sign-in", "release-attempt"]);
  expect(await guess()).toEqual(["begin-sign-in"]);
  expect(await guess()).toEqual([]);
});

test("a token for a password takes two", async () => {
  const issue = async () => users.withCurrentEpoch(await signIn());
  expect(await statementsOf(issue)).toEqual(["begin-sign-in", "complete-sign-in"]);
});

test("a token whose epoch was read too long ago, as by a process that was stopped, reads it again", async () => {
  const principal = await signIn();
  const stopped = { ...principal, epochReadAfterMs: performance.now() - 5_001 };
  expect(await statementsOf(() => users.withCurrentEpoch(stopped))).toEqual(["find-epoch"]);
});

test("a session for a password takes three, also where it ends an older one", async () => {
  const create = async () => sessions.create(await signIn(), device);
  for (let n = 0; n < 2; n += 1)
    expect(await statementsOf(create)).toEqual(["begin-sign-in", "complete-sign-in", "create-session"]);
});

test("a refresh takes one; the first one of a session on another instance finds the session before", async () => {
  let { refreshToken } = await sessions.create(await signIn(), device);
  const refresh =
    (at = sessions) =>
    async () => {
      ({ refreshToken } = await at.refresh(refreshToken, home[0]));
    };
  for (let n = 0; n < 2; n += 1) expect(await statementsOf(refresh())).toEqual(["rotate-session"]);
  const other = newInstance();
  expect(await statementsOf(refresh(other))).toEqual(["find-session", "rotate-session"]);
  expect(await statementsOf(refresh(other))).toEqual(["rotate-session"]);
  expect(await statementsOf(refresh())).toEqual(["rotate-session"]);
});

test("the check of scopes takes one for the first request of a user, and none afterwards", async () => {
  const access = createAccess({
    store: rightsStore(database),
    revocations: { onEntry: () => {}, requireCurrent: () => {} },
    audit: () => {},
  });
  const principal = await signIn();
  const check = async (scope: string) => access.missingScopes(principal, [scope]);
  expect(await statementsOf(() => check("account:read"))).toEqual([]);
  expect(await statementsOf(() => check("roles:read"))).toEqual(["find-rights"]);
  for (const scope of ["roles:read", "apis:write"]) expect(await statementsOf(() => check(scope))).toEqual([]);
});

test("a token for an API takes two for the first one of a user, and none afterwards", async () => {
  const scopes = [{ name: "orders:read", description: "" }];
  await apiStore(database).insert({ audience: "orders", name: "Orders", scopes, tokenTtlSeconds: null });
  const grants = grantsOn(database);
  const { userId } = await signIn();
  const grant = async () => grants.grant(userId, await grants.narrow(unlimited, { audience: "orders" }));
  expect(await statementsOf(grant)).toEqual(["find-api", "find-rights"]);
  expect(await statementsOf(grant)).toEqual([]);
});

test("the refresh of a limited session takes one, also if it limits the token further", async () => {
  const limits = { audience: "orders", scope: "orders:read" };
  let { refreshToken } = await sessions.create(await signIn(), device, limits);
  for (const request of [{}, limits]) {
    const refresh = async () => {
      ({ refreshToken } = await sessions.refresh(refreshToken, home[0], request));
    };
    expect(await statementsOf(refresh)).toEqual(["rotate-session"]);
  }
});
