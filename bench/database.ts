/** The Postgres server that all programs share, with one database for each, and the rows in it before they start. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hash } from "@node-rs/argon2";
import pg from "pg";
import { parseClientSecret } from "../src/clients/secrets.ts";
import { startEmbeddedPostgres } from "../src/database/embedded/postgres.ts";
import { superuser } from "../src/database/embedded/roles.ts";
import { migrate } from "../src/database/migrate.ts";
import { openForMigration } from "../src/database/pool.ts";
import { digestBytes } from "../src/lib/secretText.ts";
import { digestOfKey } from "./apiKeys.ts";
import { consentedUsers, oauthApi, oauthClient } from "./oauth.ts";

export const password = "correct horse battery";

/** The number of rows before the measurement. There is one session per user. */
export type DataVolume = { users: number; revocations: number; apiKeys?: number };

export type Postgres = {
  /** The process id of the postmaster. */
  pid: number;
  /** The folder of its socket. */
  host: string;
  user: string;
  version: string;
  /** Creates an empty database. @returns its URL */
  create(name: string): Promise<string>;
  /** Creates a database of Latchkey with users `filled0`, `filled1` and so on, with the `password` above. @returns its URL */
  createFilled(name: string, volume: DataVolume): Promise<string>;
  stop(): Promise<void>;
};

/** Starts the embedded Postgres with its usual settings: it waits for the disk at each commit. */
export async function startPostgres(): Promise<Postgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "latchkey-bench-"));
  const postgres = await startEmbeddedPostgres({ dataDir, parameters: { max_connections: "300" } });
  const { host, port, user } = postgres.connection;
  const urlOf = (database: string) => `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`;
  const pid = Number.parseInt(await readFile(join(postgres.dataDirectory, "postmaster.pid"), "utf8"), 10);
  const [row] = await query(postgres.connection, "SHOW server_version");

  const create = async (name: string): Promise<string> => {
    await query({ ...postgres.connection, user: superuser }, `CREATE DATABASE ${name} OWNER ${user}`);
    return urlOf(name);
  };
  return {
    pid,
    host,
    user,
    version: String(row?.["server_version"]),
    create,
    async createFilled(name, volume) {
      const url = await create(name);
      const knex = openForMigration(url);
      await migrate(knex);
      await knex.destroy();
      await fill(url, volume);
      const asSuperuser = { ...postgres.connection, user: superuser, database: name };
      // Otherwise autovacuum and the checkpointer would do it during a measurement.
      await query(asSuperuser, "VACUUM (ANALYZE, FREEZE)");
      await query(asSuperuser, "CHECKPOINT");
      return url;
    },
    async stop() {
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** SQL for the id of the n-th row: the decimal digits of `n` are its last digits. */
export const idOf = (n: string) => `('00000000-0000-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`;

async function fill(url: string, { users, revocations, apiKeys = 0 }: DataVolume): Promise<void> {
  const passwordHash = await hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  await query(
    url,
    `INSERT INTO users (id, username, password_hash)
     SELECT ${idOf("n")}, 'filled' || n, $1 FROM generate_series(0, $2::integer - 1) AS n`,
    [passwordHash, users],
  );
  await query(
    url,
    `INSERT INTO sessions (id, user_id, user_epoch, refresh_digest, seed, idle_expires_at, expires_at, tokens_expire_at)
     SELECT ${idOf("n")}, ${idOf("n")}, 0, sha256(n::text::bytea), sha256(n::text::bytea), now() + interval '14 days',
            now() + interval '90 days', now() + interval '15 minutes'
     FROM generate_series(0, $1::integer - 1) AS n`,
    [users],
  );
  await query(
    url,
    `INSERT INTO revocations (subject, minimum_epoch, expires_at)
     SELECT gen_random_uuid(), 2147483647, now() + interval '1 day' FROM generate_series(1, $1::integer)`,
    [revocations],
  );
  await query(
    url,
    `INSERT INTO api_keys (id, user_id, name, scopes)
     SELECT ${idOf("n")}, ${idOf("n % $2::integer")}, 'key', '{}' FROM generate_series(0, $1::integer - 1) AS n`,
    [apiKeys, users],
  );
  // Any user can introspect, so that each token of the load can introspect itself.
  await query(url, "UPDATE roles SET scopes = $1 WHERE name = 'default'", [["tokens:introspect", oauthApi.scope]]);
  await fillOAuth(url, Math.min(users, consentedUsers));
  const batchSize = 10_000;
  for (let first = 0; first < apiKeys; first += batchSize) {
    const digests = Array.from({ length: Math.min(batchSize, apiKeys - first) }, (_, n) => digestOfKey(first + n));
    await query(
      url,
      `INSERT INTO api_key_secrets (digest, key_id, last_four)
       SELECT digest, ${idOf("$2::integer + n - 1")}, 'last' FROM unnest($1::bytea[]) WITH ORDINALITY AS secrets (digest, n)`,
      [digests, first],
    );
  }
}

/** The client, the API, and what users have allowed the client. */
async function fillOAuth(url: string, users: number): Promise<void> {
  const { id, secret, redirectUri } = oauthClient;
  const { audience, scope } = oauthApi;
  await query(url, "INSERT INTO apis (audience, name, scopes) VALUES ($1, 'Orders', $2)", [
    audience,
    JSON.stringify([{ name: scope, description: "Read orders." }]),
  ]);
  await query(
    url,
    `INSERT INTO clients (id, name, authentication, grant_types, redirect_uris, scopes, audiences)
     VALUES ($1, 'bench', 'client_secret', '{client_credentials, authorization_code}', $2, $3, $4)`,
    [id, [redirectUri], [scope], [audience]],
  );
  await query(
    url,
    "INSERT INTO client_secrets (id, client_id, digest, last_four) VALUES (gen_random_uuid(), $1, $2, right($3, 4))",
    [id, digestBytes(parseClientSecret(secret) ?? ""), secret],
  );
  await query(
    url,
    `INSERT INTO grants (id, user_id, client_id, audience, scopes)
     SELECT gen_random_uuid(), ${idOf("n")}, $1, $2, $3 FROM generate_series(0, $4::integer - 1) AS n`,
    [id, audience, ["openid", scope], users],
  );
}

async function query(database: string | pg.ClientConfig, text: string, values: unknown[] = []) {
  const client = new pg.Client(database);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text, values)).rows;
  } finally {
    await client.end();
  }
}
