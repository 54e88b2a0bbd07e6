/** Starts services in the process of the test, each on a database of its own. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { pino } from "pino";
import { inject } from "vitest";
import { readConfig } from "../../src/config/config.ts";
import type { EmbeddedPostgres } from "../../src/database/embedded/postgres.ts";
import { basePath } from "../../src/http/basePath.ts";
import { startService } from "../../src/start.ts";
import { windowSeconds } from "../../src/throttling/limits.ts";
import { afterTest } from "./afterTest.ts";
import { type Client, createClient, type Received } from "./client.ts";
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
  register(username?: string): Promise<{ id: string; username: string }>;
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
  const register = async (username = `user${++users}`) => {
    const request = { json: { username, password } };
    let answer = await send("POST", "/api/users", request);
    // On a busy machine, the first hash of a service can take longer than a request may wait.
    for (let tries = 1; tries < 10 && answer.problem === "overloaded"; tries += 1) {
      answer = await send("POST", "/api/users", request);
    }
    return created(answer);
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
      const answer = await send("GET", "/api/token", { basic: [username, password] });
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

function created(answer: Received): { id: string; username: string } {
  if (answer.status !== 201) throw new Error(`not registered: ${answer.status} ${answer.text}`);
  return answer.json;
}

/**
 * Runs a statement in a transaction that stays open, so that requests which need the same rows wait in the middle of
 * their work.
 */
export async function holdLocks(
  { databaseUrl, sql }: Pick<TestService, "databaseUrl" | "sql">,
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
    /** Resolves when so many sessions wait for a lock. */
    async untilWaiting(count: number): Promise<void> {
      const waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
      while ((await sql(waiting)).length < count);
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
