/** Responses of a degraded service: documentation off, tables broken, database away, sign-in attempts limited. */
import { Agent } from "node:http";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { windowAt } from "../src/throttling/counters.ts";
import { answerChecker } from "../test/support/answers.ts";
import { type Api, navigations, type Operation } from "./contract/operations.ts";
import { curlLines } from "./curl.ts";
import { Finding } from "./finding.ts";
import { needsFlow } from "./generators/flows.ts";
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

/** The database of the service. `administrator` may forbid connections to it. */
export type DatabaseControl = { databaseUrl: string; administrator: pg.ClientConfig };
type Started = { url: string; details: ServiceDetails; close(): Promise<void> };

export type OutageOptions = {
  api: Api;
  database: DatabaseControl;
  /** Starts another service on the same database. */
  start(settings: Record<string, string>): Promise<Started>;
  /** Is called for each response. */
  observed(operation: string, status: number): void;
};

/**
 * Checks the responses that only a degraded service gives: 404 without documentation, 429, 500 and 503.
 * @returns the first wrong one
 */
export async function checkOutages({
  api,
  database,
  start,
  observed,
}: OutageOptions): Promise<Omit<Failure, "seed" | "path"> | undefined> {
  const service = await start({ THROTTLE: "on", DOCUMENTATION: "off", REVOCATION_STALENESS_SECONDS: "300", ...limits });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const conforms = answerChecker(api.contract);
  const access: ServiceAccess = {
    api,
    runId: `${Date.now() % 1e9}0`,
    send: (request) => sendRequest(new URL(service.url), agent, request),
    check(method, target, answer) {
      const operation = conforms(method, target, answer);
      if (operation !== undefined) observed(operation, answer.status);
    },
  };
  const probe = createProbe({ ...access, ...service.details, isDegraded: true });
  try {
    await checkDocumentationOff(probe);
    const cases = await succeedingCases(probe);
    await checkBrokenTables(probe, cases, database);
    await checkDatabaseAway(probe, cases, database);
    await checkLimits(probe);
    return undefined;
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    return { what: error.message, curl: curlLines(service.url, error.sentRequests) };
  } finally {
    agent.destroy();
    await service.close();
  }
}

/** Of the limits, only those of an account with an address and of registrations can be reached. */
const limits = {
  THROTTLE_ACCOUNT_ADDRESS: "3",
  THROTTLE_ACCOUNT: "10000",
  THROTTLE_ADDRESS: "10000",
  THROTTLE_CONSECUTIVE: "10000",
  THROTTLE_REGISTRATIONS: "150",
};

type Probe = ReturnType<typeof createProbe>;
type Case = { operation: Operation; sent: Sent; user: TestUser };
const where = ({ method, path }: Operation) => `${method} ${path}`;

/** Whether it is a form that only leads to a page, which needs no database. */
export const isForwarded = ({ id, method }: Operation): boolean => navigations.includes(id) && method === "POST";

/** Returns a request for each operation that succeeds while nothing is wrong, without a flow. */
async function succeedingCases(probe: Probe): Promise<Case[]> {
  const cases: Case[] = [];
  for (const operation of probe.api.operations) {
    if (isForwarded(operation) || needsFlow(probe.api, operation)) continue;
    const user = await probe.register();
    const inputs = await probe.inputsFor(operation, user);
    if (!inputs) continue;
    const needsToken = operation.usualSchemes.length > 0 && !operation.usualSchemes.includes("basic");
    const sent = needsToken ? { ...inputs, bearer: (await probe.signIn(user)).bearer } : { ...inputs };
    if (operation === probe.roles.refresh) sent.body = { refresh_token: (await probe.signIn(user)).refresh };
    // An unknown token is revoked already, which needs no database.
    const isRevocation = operation.schemes.length === 0 && operation.body !== undefined && "token" in Object(sent.body);
    if (isRevocation) sent.body = { token: (await probe.signIn(user)).bearer };
    if (operation === probe.roles.registration) sent.body = { username: `${user.username}y`, password: user.password };
    cases.push({ operation, sent, user });
  }
  return cases;
}

async function checkDocumentationOff({ api, call, assert }: Probe): Promise<void> {
  for (const operation of api.operations.filter(({ statuses }) => statuses.includes(404) && statuses.includes(304))) {
    const { status } = await call(operation);
    assert(status === 404, `${where(operation)} is ${status} without documentation`);
  }
}

/** A missing table causes an unexpected error, which the response must not describe. */
async function checkBrokenTables(probe: Probe, cases: Case[], { databaseUrl }: DatabaseControl): Promise<void> {
  await onDatabase(databaseUrl, "ALTER TABLE users RENAME TO users_gone");
  try {
    for (const { operation, sent } of cases.filter((one) => one.operation.statuses.includes(500))) {
      const answer = await probe.call(operation, sent);
      probe.assert(
        answer.status < 300 || answer.status === 500,
        `${where(operation)} is ${answer.status} while its tables are broken`,
      );
      assertNoCause(probe, operation, answer);
    }
  } finally {
    await onDatabase(databaseUrl, "ALTER TABLE users_gone RENAME TO users");
  }
}

async function checkDatabaseAway(
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
      const isOpen = operation.usualSchemes.length === 0 && !hasOptionalQuery(operation);
      const needsDatabase = operation.usualSchemes.includes("basic") || isOpen;
      const isRight = answer.status === 503 || (!needsDatabase && answer.status < 300);
      probe.assert(isRight, `${where(operation)} is ${answer.status} while the database is away`);
      assertNoCause(probe, operation, answer);
    }
  } finally {
    await onDatabase(administrator, `ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`);
  }
  await waitForRecovery(probe);
}

/** Whether the simplest request lacks parameters, without which an open operation may need no database. */
export const hasOptionalQuery = ({ parameters }: Operation): boolean =>
  parameters.some((one) => one.in === "query" && !one.required);

/** The service must reconnect without a restart; it backs off for up to a second. */
async function waitForRecovery({ api, call, assert }: Probe): Promise<void> {
  const deadline = performance.now() + recoveryTimeoutMs;
  const ready = api.operations.find(
    (one) =>
      one.method === "GET" &&
      one.usualSchemes.length === 0 &&
      one.statuses.includes(503) &&
      !hasOptionalQuery(one) &&
      !needsFlow(api, one),
  );
  while (ready) {
    const { status } = await call(ready);
    if (status === 200) return;
    assert(performance.now() < deadline, `${where(ready)} is still ${status} after the database returned`);
    await setTimeout(50);
  }
}

const recoveryTimeoutMs = 10_000;

function assertNoCause({ assert }: Probe, operation: Operation, { status, text, json }: Reply): void {
  if (status < 500) return;
  const describesCause = "detail" in (json as Json) || /relation|select |\.ts:|\.js:|node_modules|error:/i.test(text);
  assert(!describesCause, `${where(operation)}: a ${status} describes its cause: ${text.slice(0, 200)}`);
}

/** Wrong passwords are limited, alike for known and unknown users, and registrations are limited. */
async function checkLimits(probe: Probe): Promise<void> {
  const { api, call, assert, register, runId, roles } = probe;
  for (const operation of api.operations.filter(({ statuses }) => statuses.includes(429))) {
    if (!operation.usualSchemes.includes("basic")) continue;
    const user = await register();
    for (const name of [user.username, `nobody${runId}${operation.id.toLowerCase()}`]) {
      const guess = async (password: string) => (await call(operation, { basic: [name, password] })).status;
      const answers: number[] = [];
      await leaveEndOfWindow();
      for (let tries = 0; tries < 6; tries += 1) answers.push(await guess("a wrong password"));
      assert(
        answers.join() === "401,401,401,429,429,429",
        `${where(operation)}: six wrong passwords, of which 3 are allowed, are ${answers}`,
      );
      assert(
        (await guess(user.password)) === 429,
        `${where(operation)}: the right password is accepted beyond the limit`,
      );
    }
  }
  const newUser = (tries: number) => ({ username: `many${runId}x${tries}`, password: "Otters § glow quietly" });
  const client = roles.registerClient && (await probe.inputsFor(roles.registerClient, await register()));
  await requireLimit(roles.registration, newUser);
  await requireLimit(roles.registerClient, () => client?.body);

  async function requireLimit(
    operation: Operation | undefined,
    bodyOf: (tries: number) => Sent["body"],
  ): Promise<void> {
    if (!operation?.statuses.includes(429)) return;
    const firstWindow = currentWindow().number;
    // A window that begins meanwhile allows the limit again.
    const maxTries = () => 200 * (1 + currentWindow().number - firstWindow);
    for (let tries = 0; tries < maxTries(); tries += 1) {
      if ((await call(operation, { body: bodyOf(tries) })).status === 429) return;
    }
    assert(false, `${where(operation)}: registrations are not limited`);
  }
}

const currentWindow = () => windowAt(new Date());

/** Waits for the next counting window if little of this one is left: guesses in two windows do not reach the limit together. */
async function leaveEndOfWindow(): Promise<void> {
  const remainingMs = currentWindow().endsAt.getTime() - Date.now();
  // The service's clock, that of its database, may differ a little from this one.
  if (remainingMs < 5_000) await setTimeout(remainingMs + 1_000);
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
