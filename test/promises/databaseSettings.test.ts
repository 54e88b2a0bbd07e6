/** Settings of the server, database, role and environment that would break the code's assumptions. */
import { pino } from "pino";
import { expect, inject, test } from "vitest";
import { connect, noTimeLimits } from "../../src/database/connect.ts";
import { openDatabase } from "../../src/database/database.ts";
import { migrateWithTimeout } from "../../src/database/openPostgres.ts";
import { probeCommit } from "../../src/database/writeCheck.ts";
import { afterTest } from "../support/afterTest.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, query, secretKey, startTestService } from "../support/service.ts";

const hostile = {
  search_path: "elsewhere",
  client_encoding: "LATIN1",
  datestyle: "German",
  intervalstyle: "iso_8601",
  timezone: "Asia/Kathmandu",
  extra_float_digits: "-5",
  bytea_output: "escape",
  standard_conforming_strings: "off",
  array_nulls: "off",
  transform_null_equals: "on",
  default_transaction_isolation: "serializable",
  default_transaction_deferrable: "on",
  row_security: "off",
  plan_cache_mode: "force_generic_plan",
  client_min_messages: "debug5",
  synchronous_commit: "off",
  statement_timeout: "60s",
  lock_timeout: "60s",
  idle_in_transaction_session_timeout: "60s",
  idle_session_timeout: "300ms",
  transaction_timeout: "700ms",
};

const url = await createDatabase();
const name = new URL(url).pathname.slice(1);
const asAdministrator = (text: string) => query(inject("postgres"), text);
for (const [setting, value] of Object.entries(hostile))
  await asAdministrator(`ALTER DATABASE ${name} SET ${setting} = '${value}'`);

test("settings of the database are overridden on each connection", async () => {
  const database = openDatabase(url, 1);
  afterTest(() => database.close());
  const { rows } = await database.read((knex) =>
    knex.raw<{ rows: { name: string; setting: string }[] }>(
      "SELECT name, current_setting(name) AS setting FROM unnest(?::text[]) AS name",
      [Object.keys(hostile)],
    ),
  );
  expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
    search_path: "latchkey, pg_temp",
    client_encoding: "UTF8",
    datestyle: "ISO, MDY",
    intervalstyle: "postgres",
    timezone: "UTC",
    extra_float_digits: "1",
    bytea_output: "hex",
    standard_conforming_strings: "on",
    array_nulls: "on",
    transform_null_equals: "off",
    default_transaction_isolation: "read committed",
    default_transaction_deferrable: "off",
    row_security: "on",
    plan_cache_mode: "auto",
    client_min_messages: "warning",
    synchronous_commit: "on",
    statement_timeout: "1500ms",
    lock_timeout: "1s",
    idle_in_transaction_session_timeout: "5s",
    idle_session_timeout: "0",
    transaction_timeout: "0",
  });
});

test("a service on such a database works", async () => {
  const service = await startTestService({}, url);
  const username = "пользователь";
  await service.register(username);
  const { json } = await service.send("POST", "/api/sessions", { basic: [username, password] });
  const bearer = json.access_token;
  const me = await service.send("GET", "/api/users/me", { bearer });
  expect(me).toMatchObject({ status: 200, json: { username } });
  expect(Math.abs(Date.parse(me.json.created_at) - Date.now())).toBeLessThan(60_000);
  expect((await service.send("GET", "/api/sessions", { bearer })).status).toBe(200);
  expect((await service.send("GET", "/readyz")).status).toBe(200);
});

test("synchronous_commit = remote_apply is kept, since it is stronger", async () => {
  const own = await createDatabase();
  await asAdministrator(`ALTER DATABASE ${new URL(own).pathname.slice(1)} SET synchronous_commit = remote_apply`);
  const database = openDatabase(own, 1);
  afterTest(() => database.close());
  const { rows } = await database.read((knex) => knex.raw("SHOW synchronous_commit"));
  expect(rows).toEqual([{ synchronous_commit: "remote_apply" }]);
});

test("a read-only database is not connected to, and does not count as able to commit", async () => {
  const own = await createDatabase();
  const database = openDatabase(own, 1);
  afterTest(() => database.close());
  expect(await probeCommit(database)).toMatch(/^\d{4}-/);
  await asAdministrator(`ALTER DATABASE ${new URL(own).pathname.slice(1)} SET default_transaction_read_only = on`);
  await expect(connect(own, noTimeLimits)).rejects.toMatchObject({ code: "25006" });
  await database.read((knex) => knex.raw("SET default_transaction_read_only = on")); // on the open connection
  await expect(probeCommit(database)).rejects.toMatchObject({ slug: "database-unavailable" });
});

const start = (databaseUrl: string) => migrateWithTimeout(databaseUrl, pino({ level: "silent" }));

test("a database that is not UTF8, or has triggers disabled, is refused at the start in one sentence", async () => {
  await asAdministrator(`CREATE DATABASE ${name}_latin1 ENCODING LATIN1 TEMPLATE template0 LOCALE 'C' OWNER latchkey`);
  await expect(start(`${url}_latin1`)).rejects.toThrow(
    "The database of DATABASE_URL cannot be used: its encoding is LATIN1: a database with the encoding UTF8 is needed.",
  );
  const own = await createDatabase();
  await asAdministrator(`ALTER DATABASE ${new URL(own).pathname.slice(1)} SET session_replication_role = replica`);
  await expect(start(own)).rejects.toThrow(/^The database of DATABASE_URL cannot be used: session_replication_role is/);
});

test("a read-only database is not read from", async () => {
  const own = await createDatabase();
  await asAdministrator(`ALTER DATABASE ${new URL(own).pathname.slice(1)} SET default_transaction_read_only = on`);
  const database = openDatabase(own, 1);
  afterTest(() => database.close());
  const read = database.read((knex) => knex.raw("SELECT 1"));
  await expect(read).rejects.toMatchObject({ slug: "database-unavailable", cause: { code: "25006" } });
});

test("environment variables of pg change nothing", async () => {
  const program = runProgram(["migrate"], {
    DATABASE_URL: await createDatabase("template0"),
    SECRET_KEY: secretKey,
    PGHOST: "nowhere.invalid",
    PGPORT: "1",
    PGUSER: "nobody",
    PGDATABASE: "nothing",
    PGOPTIONS: "-c no_such_setting=1",
    PGSSLMODE: "prefer", // which makes pg request TLS
    PGSSLNEGOTIATION: "direct",
    PGREPLICATION: "database",
    PGCLIENT_ENCODING: "LATIN1",
    PGBINARY: "1",
    PGAPPNAME: "other",
    PGPASSFILE: "/nonexistent",
    NODE_PG_FORCE_NATIVE: "1",
  });
  expect([await program.exit, program.stderr]).toEqual([0, []]);
});
