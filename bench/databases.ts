/** Databases of the benchmark's Postgres, and what is in them before anything is measured. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { openForMigration } from "../src/database/database.ts";
import type { EmbeddedPostgres } from "../src/database/embedded.ts";
import { migrate } from "../src/database/migrate.ts";

export type Connection = EmbeddedPostgres["connection"];

/** @returns the URL of a new, empty one */
export async function createDatabase({ host, port, user, database }: Connection): Promise<string> {
  const name = `bench_${randomBytes(6).toString("hex")}`;
  const urlOf = (of: string) => `postgres://${user}@${encodeURIComponent(host)}:${port}/${of}`;
  await query(urlOf(database), `CREATE DATABASE ${name}`);
  return urlOf(name);
}

/** Fills Latchkey's tables: as many sessions as users, and revocations that are alive for an hour. */
export async function fill(url: string, { users, revocations }: { users: number; revocations: number }): Promise<void> {
  const knex = openForMigration(url, () => {});
  await migrate(knex);
  await knex.destroy();
  const id = (column: string) => `('00000000-0000-7000-8000-' || lpad(to_hex(${column}), 12, '0'))::uuid`;
  await query(
    url,
    `INSERT INTO users (id, username, password_hash) SELECT ${id("n")}, 'user' || n, 'nobody signs in'
     FROM generate_series(1, ${users}) AS n;
     INSERT INTO sessions (id, user_id, user_epoch, seed, refresh_digest, idle_expires_at, expires_at, tokens_expire_at)
     SELECT ${id("n")}, ${id("n")}, 0, decode(md5(n::text), 'hex'), sha256(n::text::bytea),
            now() + '14 days', now() + '90 days', now() + '10 minutes'
     FROM generate_series(1, ${users}) AS n;
     INSERT INTO revocations (subject, minimum_epoch, expires_at)
     SELECT ${id("n + 100000000")}, 2147483647, now() + '1 hour' FROM generate_series(1, ${revocations}) AS n;
     ANALYZE`,
  );
}

export async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(sql);
  await client.end();
}
