/** Starts services in the process of the test, each on a database of its own. */
import { randomBytes } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { pino } from "pino";
import { inject } from "vitest";
import { readConfig } from "../../src/config/config.ts";
import type { EmbeddedPostgres } from "../../src/database/embedded/postgres.ts";
import { basePath } from "../../src/http/basePath.ts";
import { startService } from "../../src/start.ts";
import { windowSeconds } from "../../src/throttling/limits.ts";
import { afterTest } from "./afterTest.ts";
import { type Client, createClient } from "./client.ts";
import { serviceRole, templateDatabase } from "./postgres.ts";

export const secretKey = "a test's secret key, long enough: 0123456789";
export const password = "correct horse battery";

/** All tests sign in and register from one address. */
const highLimits = {
  THROTTLE_ACCOUNT_ADDRESS: "10000",
  THROTTLE_ACCOUNT: "10000",
  THROTTLE_ADDRESS: "10000",
  THROTTLE_CONSECUTIVE: "10000",
  THROTTLE_REGISTRATIONS: "10000",
};

/** Far below what the settings allow. Few tests depend on the cost of a hash, but most wait for it: those set `realHashes`. */
const cheapHashes = { argon2MemoryKib: 1024, argon2Passes: 1 };
/** What `hashingWork` counts for each of them. */
export const workOfHash = cheapHashes.argon2MemoryKib * cheapHashes.argon2Passes;
/** Settings for a test that depends on the cost: the defaults. */
export const realHashes = { ARGON2_MEMORY_KIB: "19456", ARGON2_PASSES: "2" };

export type TestService = {
  url: string;
  databaseUrl: string;
  send: Client;
  /** Registers a user with the `password` above. */
  register(username?: string, headers?: OutgoingHttpHeaders): Promise<{ id: string; username: string }>;
  /** Issues a token for a registered user. */
  token(username: string): Promise<string>;
  /** Registers a user with the role administrator. Returns its Basic credentials. */
  administrator(username?: string): Promise<[string, string]>;
  /** Runs SQL on this service's database. */
  sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Advances the service's clock. */
  advance(seconds: number): void;
  /** The lines of its log so far. */
  log: string[];
  hashingWork(): number;
  /** Forbids connections to its database during the test. */
  withoutDatabase(test: () => Promise<void>): Promise<void>;
  /** Renames a table during the test, so that queries fail unexpectedly. */
  withBrokenTables(test: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
};

/** Returns the DATABASE_URL of a connection. */
export const urlOf = ({ host, port, user, database }: EmbeddedPostgres["connection"]) =>
  `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`;

/** Seconds to the next window of the rate limits. After advancing by them, a test counts in one window. */
export const toNextWindowSeconds = () => windowSeconds - ((Date.now() / 1000) % windowSeconds) + 1;

/** Creates a database. Returns its URL. */
export async function createDatabase(template: string = templateDatabase): Promise<string> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await admin(`CREATE DATABASE ${name} TEMPLATE ${template} OWNER ${serviceRole}`);
  const { host, port } = inject("postgres");
  return urlOf({ host, port, user: serviceRole, database: name });
}

/** Starts a service, and stops it after the test, or after the file if no test is running. */
export async function startTestService(
  settings: Record<string, string> = {},
  databaseUrl?: string,
): Promise<TestService> {
  const url = databaseUrl ?? (await createDatabase());
  const database = new URL(url).pathname.slice(1);
  let offsetMs = 0;
  const log: string[] = [];
  const config = readConfig({
    PORT: "0",
    DATABASE_URL: url,
    SECRET_KEY: secretKey,
    DATABASE_POOL_MAX: "5",
    CONTRACT_CHECK: "enforce",
    ...highLimits,
    PASSWORD_BLOCKLIST: "off", // loading the dictionaries takes longer than most tests
    ...settings,
  });
  const service = await startService(
    "ARGON2_MEMORY_KIB" in settings ? config : { ...config, ...cheapHashes },
    pino({ level: "info" }, { write: (line) => void log.push(line) }),
    { clockOffsetMs: () => offsetMs },
  );
  const send = createClient(service.url, basePath(settings["PUBLIC_URL"]));
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= service.close();
    return closing;
  };
  afterTest(close);

  let users = 0;
  const register: TestService["register"] = async (username = `user${++users}`, headers = {}) => {
    let mayExist = false;
    const answer = await untilServed(async () => {
      const answer = await send("POST", "/api/users", { json: { username, password }, headers });
      // The response of a registration that succeeded may have been a 503.
      if (mayExist && answer.problem === "username-taken")
        return send("GET", "/api/users/me", { basic: [username, password], headers });
      mayExist ||= answer.problem === "database-unavailable";
      return answer;
    });
    if (answer.status >= 300) throw new Error(`not registered: ${answer.status} ${answer.text}`);
    return answer.json;
  };
  return {
    url: service.url,
    databaseUrl: url,
    send,
    register,
    async administrator(username = "administrator") {
      const { id } = await register(username);
      await query(url, "INSERT INTO user_roles (user_id, role) VALUES ($1, 'administrator')", [id]);
      return [username, password];
    },
    async token(username) {
      const answer = await untilServed(() => send("GET", "/api/token", { basic: [username, password] }));
      if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.text}`);
      return answer.json.token as string;
    },
    sql: (text, values) => query(url, text, values),
    advance: (seconds) => {
      offsetMs += seconds * 1000;
    },
    log,
    hashingWork: service.hashingWork,
    async withoutDatabase(test) {
      await admin(`ALTER DATABASE ${database} ALLOW_CONNECTIONS false`);
      await admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [database]);
      try {
        await test();
      } finally {
        await admin(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true`);
      }
    },
    async withBrokenTables(test) {
      await query(url, renameTables("", "_gone"));
      try {
        await test();
      } finally {
        await query(url, renameTables("_gone", ""));
      }
    },
    close,
  };
}

const maxTries = 20;
const retryDelayMs = 100;

/**
 * Repeats a request, or several, while a response is a 503. On a slow machine any request can miss a deadline. The service lets
 * nobody in with a 503, but what it should change may be changed.
 */
export async function untilServed<Answers extends { status: number } | { status: number }[]>(
  ask: () => Promise<Answers>,
): Promise<Answers> {
  for (let tries = 1; ; tries += 1) {
    const answers = await ask();
    const all: { status: number }[] = Array.isArray(answers) ? answers : [answers];
    if (tries === maxTries || !all.some(({ status }) => status === 503)) return answers;
    await sleep(retryDelayMs);
  }
}

/** Far more than what requests need to come to a lock, and less than the time of a test. */
const maxWaitMs = 10_000;

/**
 * Runs a statement in a transaction that stays open, so that requests which need the same rows wait in the middle of
 * their work.
 */
export async function holdLocks(
  { databaseUrl }: Pick<TestService, "databaseUrl" | "sql">,
  text: string,
  values: unknown[],
) {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query("BEGIN");
  await client.query(text, values);
  return {
    /** Runs another statement in the same transaction. */
    query: (text: string, values: unknown[]) => client.query(text, values),
    /** Resolves when so many sessions wait for a lock. Ends the transaction and rejects if that takes too long. */
    async untilWaiting(count: number): Promise<void> {
      const waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
      // In the transaction, the view would not change.
      const observer = new pg.Client(databaseUrl);
      await observer.connect();
      try {
        const began = performance.now();
        for (let most = 0; ; await sleep(5)) {
          const { length } = (await observer.query(waiting)).rows;
          if (length >= count) return;
          most = Math.max(most, length);
          if (performance.now() - began < maxWaitMs) continue;
          await client.end();
          throw new Error(`${count} sessions should wait for a lock, but at most ${most} did in ${maxWaitMs} ms`);
        }
      } finally {
        await observer.end();
      }
    },
    async commit(): Promise<void> {
      await client.query("COMMIT");
      await client.end();
    },
  };
}

/** Every operation needs one of these tables. */
const renameTables = (from: string, to: string): string =>
  ["users", "api_key_secrets", "apis", "device_codes", "clients"]
    .map((table) => `ALTER TABLE ${table}${from} RENAME TO ${table}${to}`)
    .join(";");

const admin = (text: string, values?: unknown[]) => query(inject("postgres"), text, values);

/** Runs SQL on any database, over a new connection. */
export async function query(
  database: string | pg.ClientConfig,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(database);
  client.on("error", () => {}); // a lost connection rejects the query as well
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text, values)).rows;
  } finally {
    await client.end();
  }
}
