/** What a service answers where something is taken away from it: passwords are guessed, its database is away or broken. */
import { Agent } from "node:http";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { answerChecker } from "../test/support/answers.ts";
import type { Api, Operation } from "./contract/operations.ts";
import { curlLines } from "./curl.ts";
import { Finding } from "./finding.ts";
import { sendRequest } from "./http.ts";
import type { Json } from "./json.ts";
import {
  createProbe,
  type Reply,
  type Sent,
  type ServiceAccess,
  type ServiceDetails,
  type TestUser,
} from "./promises/probe.ts";
import type { Failure } from "./run.ts";

/** What is done to a service of one's own. `administrator`: whoever may refuse connections to its database. */
export type DatabaseControl = { databaseUrl: string; administrator: pg.ClientConfig };
type Started = { url: string; details: ServiceDetails; close(): Promise<void> };

export type OutageOptions = {
  api: Api;
  database: DatabaseControl;
  /** Starts another service on the same database. */
  start(settings: Record<string, string>): Promise<Started>;
  seen(operation: string, status: number): void;
};

/**
 * Looks at the answers that only a service in trouble returnedKinds: 404 without documentation, 429, 500 and 503.
 * @returns the first that is not as it must be
 */
export async function checkOutages({
  api,
  database,
  start,
  seen,
}: OutageOptions): Promise<Omit<Failure, "seed" | "path"> | undefined> {
  const service = await start({ THROTTLE: "on", DOCUMENTATION: "off", REVOCATION_STALENESS_SECONDS: "300", ...limits });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const conforms = answerChecker(api.contract);
  const stage: ServiceAccess = {
    api,
    runId: `${Date.now() % 1e9}0`,
    send: (request) => sendRequest(new URL(service.url), agent, request),
    check(method, target, answer) {
      const operation = conforms(method, target, answer);
      if (operation !== undefined) seen(operation, answer.status);
    },
  };
  const probe = createProbe({ ...stage, ...service.details, isDegraded: true });
  try {
    await documentationIsOff(probe);
    const cases = await prepared(probe);
    await brokenDatabase(probe, cases, database);
    await databaseAway(probe, cases, database);
    await guessesAreLimited(probe);
    return undefined;
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    return { what: error.message, curl: curlLines(service.url, error.sentRequests) };
  } finally {
    agent.destroy();
    await service.close();
  }
}

/** Only one limit of guesses can be reached here, and the one of registrations. */
const limits = {
  THROTTLE_ACCOUNT_ADDRESS: "3",
  THROTTLE_ACCOUNT: "10000",
  THROTTLE_ADDRESS: "10000",
  THROTTLE_CONSECUTIVE: "10000",
  THROTTLE_REGISTRATIONS: "60",
};

type Probe = ReturnType<typeof createProbe>;
type Case = { operation: Operation; sent: Sent; user: TestUser };
const where = ({ method, path }: Operation) => `${method} ${path}`;

/** What makes each operation succeed, as long as nothing is wrong. */
async function prepared(probe: Probe): Promise<Case[]> {
  const cases: Case[] = [];
  for (const operation of probe.api.operations) {
    const user = await probe.register();
    const inputs = await probe.inputsFor(operation, user);
    if (!inputs) continue;
    const needsToken = operation.schemes.length > 0 && !operation.schemes.includes("basic");
    const sent = needsToken ? { ...inputs, bearer: (await probe.signIn(user)).bearer } : { ...inputs };
    if (operation === probe.roles.refresh) sent.body = { refresh_token: (await probe.signIn(user)).refresh };
    if (operation === probe.roles.registration) sent.body = { username: `${user.username}y`, password: user.password };
    cases.push({ operation, sent, user });
  }
  return cases;
}

async function documentationIsOff({ api, call, assert }: Probe): Promise<void> {
  for (const operation of api.operations.filter(({ statuses }) => statuses.includes(404) && statuses.includes(304))) {
    const { status } = await call(operation);
    assert(status === 404, `${where(operation)} is ${status} without documentation`);
  }
}

/** The tables are not what the code expects: a fault that nobody foresaw says nothing of itself. */
async function brokenDatabase(probe: Probe, cases: Case[], { databaseUrl }: DatabaseControl): Promise<void> {
  await onDatabase(databaseUrl, "ALTER TABLE users RENAME TO users_gone");
  try {
    for (const { operation, sent } of cases.filter((one) => one.operation.statuses.includes(500))) {
      const answer = await probe.call(operation, sent);
      probe.assert(
        answer.status < 300 || answer.status === 500,
        `${where(operation)} is ${answer.status} where its tables are broken`,
      );
      saysNothing(probe, operation, answer);
    }
  } finally {
    await onDatabase(databaseUrl, "ALTER TABLE users_gone RENAME TO users");
  }
}

async function databaseAway(
  probe: Probe,
  cases: Case[],
  { databaseUrl, administrator }: DatabaseControl,
): Promise<void> {
  const name = new URL(databaseUrl).pathname.slice(1);
  await onDatabase(administrator, `ALTER DATABASE "${name}" ALLOW_CONNECTIONS false`);
  await onDatabase(administrator, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
  try {
    for (const { operation, sent } of cases.filter((one) => one.operation.statuses.includes(503))) {
      const answer = await probe.call(operation, sent);
      const needsDatabase = operation.schemes.includes("basic") || operation.schemes.length === 0;
      const isRight = answer.status === 503 || (!needsDatabase && answer.status < 300);
      probe.assert(isRight, `${where(operation)} is ${answer.status} while the database is away`);
      saysNothing(probe, operation, answer);
    }
  } finally {
    await onDatabase(administrator, `ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`);
  }
  await hasRecovered(probe);
}

/** The service reconnects with a back-off of up to a second. It has to do so without a restart. */
async function hasRecovered({ api, call, assert }: Probe): Promise<void> {
  const deadline = performance.now() + recoveryTimeoutMs;
  const ready = api.operations.find(
    ({ method, schemes, statuses }) => method === "GET" && schemes.length === 0 && statuses.includes(503),
  );
  while (ready) {
    const { status } = await call(ready);
    if (status === 200) return;
    assert(performance.now() < deadline, `${where(ready)} is still ${status} after the database returned`);
    await setTimeout(50);
  }
}

const recoveryTimeoutMs = 10_000;

function saysNothing({ assert }: Probe, operation: Operation, { status, text, json }: Reply): void {
  if (status < 500) return;
  const isTelling = "detail" in (json as Json) || /relation|select |\.ts:|\.js:|node_modules|error:/i.test(text);
  assert(!isTelling, `${where(operation)}: a ${status} tells of the inside: ${text.slice(0, 200)}`);
}

/** Wrong passwords are limited, with the same answer for those who do not exist, and so are registrations. */
async function guessesAreLimited(probe: Probe): Promise<void> {
  const { api, call, assert, register, runId, roles } = probe;
  for (const operation of api.operations.filter(({ statuses }) => statuses.includes(429))) {
    if (!operation.schemes.includes("basic")) continue;
    const user = await register();
    for (const name of [user.username, `niemand${runId}${operation.id.toLowerCase()}`]) {
      const guess = async (password: string) => (await call(operation, { basic: [name, password] })).status;
      const answers: number[] = [];
      for (let tries = 0; tries < 6; tries += 1) answers.push(await guess("a wrong password"));
      assert(
        answers.join() === "401,401,401,429,429,429",
        `${where(operation)}: six wrong passwords, of which 3 are allowed, are ${answers}`,
      );
      assert(
        (await guess(user.password)) === 429,
        `${where(operation)}: the right password is looked at beyond the limit`,
      );
    }
  }
  const { registration } = roles;
  if (!registration?.statuses.includes(429)) return;
  for (let tries = 0; tries < 100; tries += 1) {
    const body = { username: `viele${runId}x${tries}`, password: "Otters § glow quietly" };
    if ((await call(registration, { body })).status === 429) return;
  }
  assert(false, `${where(registration)}: registrations are not limited`);
}

async function onDatabase(database: string | pg.ClientConfig, sql: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client(database);
  await client.connect();
  try {
    await client.query(sql, values);
  } finally {
    await client.end();
  }
}
