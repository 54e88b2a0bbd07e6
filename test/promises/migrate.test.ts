import type { Knex } from "knex";
import pg from "pg";
import { pino } from "pino";
import { describe, expect, inject, onTestFinished, test, vi } from "vitest";
import { applyMigrations, migrate, migrationNames } from "../../src/database/migrate.ts";
import { migrateWithTimeout } from "../../src/database/openPostgres.ts";
import { openForMigration } from "../../src/database/pool.ts";
import { createDatabaseOfRole } from "../support/previousVersion.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, query, secretKey, startTestService, urlOf } from "../support/service.ts";

const migrateOnce = async (url: string) => {
  const knex = openForMigration(url);
  try {
    return await migrate(knex);
  } finally {
    await knex.destroy();
  }
};

test("eight instances that start at once on an empty database apply each migration exactly once", async () => {
  const url = await createDatabase("template0");
  const instances = Array.from({ length: 8 }, () => openForMigration(url));
  for (const knex of instances) onTestFinished(() => knex.destroy());
  const connects = (knex: Knex) =>
    knex.raw("SELECT 1").then(
      () => true,
      () => false, // it took longer than a second: a start tries again
    );
  await Promise.all(instances.map((knex) => vi.waitUntil(() => connects(knex), 15_000)));
  const applied = await Promise.all(instances.map((knex) => migrate(knex)));
  expect(applied.flat().sort()).toEqual(migrationNames);
});

test("three services that start at once on an empty database agree on the signing key and on its successor", async () => {
  const url = await createDatabase("template0");
  const services = await Promise.all([1, 2, 3].map(() => startTestService({}, url)));
  const [first, ...others] = await Promise.all(
    services.map((service) => service.send("GET", "/.well-known/jwks.json")),
  );
  expect(first?.json.keys).toHaveLength(2);
  for (const other of others) expect(other.json).toEqual(first?.json);
});

test("a migration that was killed half-way leaves nothing behind, and no lock", async () => {
  const url = await createDatabase("template0");
  const knex = openForMigration(url);
  const killed = knex.transaction(async (transaction) => {
    await migrate(transaction);
    const { rows } = await transaction.raw<{ rows: { pid: number }[] }>("SELECT pg_backend_pid() AS pid");
    const other = openForMigration(url);
    await other.raw("SELECT pg_terminate_backend(?)", [rows[0]?.pid ?? 0]);
    await other.destroy();
    await transaction.raw("SELECT 1");
  });
  await expect(killed).rejects.toThrow();
  await knex.destroy();
  expect(await migrateOnce(url)).toEqual(migrationNames);
});

test("a database migrated further by a newer version is left unchanged", async () => {
  const service = await startTestService();
  await service.sql("INSERT INTO migrations (name, batch, migration_time) VALUES ('9999-newer', 2, now())");
  expect(await migrateOnce(service.databaseUrl)).toEqual([]);
});

test("migrations wait for a table that another session has locked, which is no warning", async () => {
  const url = await createDatabaseOfRole();
  await migrateAsBefore(url);
  const backup = new pg.Client(url);
  await backup.connect();
  await backup.query("BEGIN; SELECT FROM users");
  const lines: { level: number; msg: string }[] = [];
  let waits = () => {};
  const waiting = new Promise<void>((resolve) => (waits = resolve));
  const write = (line: string) => {
    lines.push(JSON.parse(line));
    if (line.includes("wait")) waits();
  };
  const migrated = migrateWithTimeout(url, pino({}, { write }));
  await waiting;
  await backup.end();
  expect(await migrated).toEqual(migrationNames.slice(8));
  expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
    [30, "the migrations wait for a lock"],
    [30, "migrated"],
  ]);
});

test("each migration is committed before the next begins, and the index of users is built while others read the table", async () => {
  const url = await createDatabaseOfRole();
  const knex = openForMigration(url);
  await knex.raw("CREATE SCHEMA latchkey");
  await applyMigrations(knex, migrationNames.slice(0, 9));
  await knex.destroy();
  const writer = new pg.Client(url);
  await writer.connect();
  await writer.query(
    "BEGIN; INSERT INTO latchkey.users (id, username, password_hash) VALUES (gen_random_uuid(), 'miguel', '-')",
  );
  const migrated = migrateWithTimeout(url, pino({ level: "silent" }));
  let awaited: Record<string, unknown>[] = [];
  while (awaited.length === 0)
    awaited = await query(url, "SELECT mode FROM pg_locks WHERE NOT granted AND relation = 'latchkey.users'::regclass");
  expect(awaited).toEqual([{ mode: "ShareLock" }]); // which does not conflict with that of a SELECT
  const applied = await query(url, "SELECT name FROM latchkey.migrations ORDER BY id");
  expect(applied.map(({ name }) => name)).toEqual(migrationNames.slice(0, 11));
  await writer.query("COMMIT");
  await writer.end();
  expect(await migrated).toEqual(migrationNames.slice(9));
});

/** Objects of other programs in `public`, with Knex' own migrations. */
const othersTables = `
  CREATE TABLE users (id serial PRIMARY KEY, username text, password_hash text);
  CREATE TABLE sessions (sid text PRIMARY KEY, sess json);
  CREATE TABLE migrations (id serial PRIMARY KEY, name varchar(255), batch integer, migration_time timestamptz);
  CREATE TABLE migrations_lock (index serial PRIMARY KEY, is_locked integer);
  CREATE FUNCTION notify_revocation() RETURNS integer LANGUAGE sql AS 'SELECT 1';
  INSERT INTO users (username, password_hash) VALUES ('miguel', 'theirs');
  INSERT INTO sessions VALUES ('theirs', '{}');
  INSERT INTO migrations (name, batch, migration_time) VALUES ('0001-users', 1, now()), ('0009-own-schema', 1, now());
  INSERT INTO migrations_lock (is_locked) VALUES (0)`;
const inPublic = `SELECT relname::text AS name, relkind::text AS kind, query_to_xml(format('SELECT * FROM public.%I', relname), true, true, '')::text AS rows
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname`;
const moved = [
  "epoch_floor",
  "familiar_networks",
  "migrations",
  "migrations_lock",
  "password_failures",
  "revocations",
  "sessions",
  "signing_keys",
  "throttle",
  "users",
];

/** Applies the migrations of the previous version, in its schema. */
async function migrateAsBefore(url: string): Promise<void> {
  const knex = openForMigration(url);
  try {
    await knex.raw("SET search_path = public");
    await applyMigrations(knex, migrationNames.slice(0, 8));
  } finally {
    await knex.destroy();
  }
}

describe("the schema of its own", () => {
  test("has everything, and other programs' objects in public stay unchanged", async () => {
    const url = await createDatabaseOfRole();
    await query(url, othersTables);
    const before = await query(url, inPublic);
    const service = await startTestService({}, url);
    await service.register("miguel");
    expect((await service.send("GET", "/api/resource", { bearer: await service.token("miguel") })).status).toBe(200);
    expect((await service.send("GET", "/readyz")).status).toBe(200);
    expect(await query(url, inPublic)).toEqual(before);
    expect(before.map(({ name }) => name)).toEqual(["migrations", "migrations_lock", "sessions", "users"]);
    expect(await query(url, "SELECT username FROM latchkey.users")).toEqual([{ username: "miguel" }]);
  });

  test("is used whatever the role and the database have for search_path, and temporary tables do not hide it", async () => {
    const url = await createDatabaseOfRole();
    const name = new URL(url).pathname.slice(1);
    await query(
      url,
      `CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.users (other integer);
      ALTER DATABASE ${name} SET search_path = pg_temp, elsewhere; ALTER ROLE ${name} SET search_path = elsewhere`,
    );
    const service = await startTestService({}, url);
    await service.register("miguel");
    expect(await query(url, "SELECT username FROM latchkey.users")).toEqual([{ username: "miguel" }]);
  });

  test("takes over the tables of an earlier version with their rows; views stay where they are", async () => {
    const url = await createDatabaseOfRole();
    await migrateAsBefore(url);
    await query(
      url,
      "INSERT INTO users (id, username, password_hash) VALUES (gen_random_uuid(), 'miguel', '-'); GRANT SELECT ON users TO PUBLIC",
    );
    expect(await migrateOnce(url)).toEqual(migrationNames.slice(8));
    expect(await query(url, "SELECT username FROM latchkey.users")).toEqual([{ username: "miguel" }]);
    const views = await query(url, inPublic);
    expect(views.map(({ name, kind }) => `${kind} ${name}`)).toEqual(moved.map((name) => `v ${name}`));
    expect(
      await query(
        url,
        "SELECT relacl::text LIKE '%,=r/%' AS granted FROM pg_class WHERE oid = 'public.users'::regclass",
      ),
    ).toEqual([{ granted: true }]);
    expect(await migrateOnce(url)).toEqual([]);
  });

  test("leaves views that grant what the tables grant, whatever the default privileges, and nothing where rows are restricted", async () => {
    const url = await createDatabaseOfRole();
    const role = `reporting_${new URL(url).username}`;
    await query(inject("postgres"), `CREATE ROLE ${role} LOGIN`);
    await migrateAsBefore(url);
    await query(
      url,
      `ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ${role};
      ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
      GRANT SELECT ON throttle, sessions TO ${role};
      ALTER TABLE sessions ENABLE ROW LEVEL SECURITY`,
    );
    expect(await migrateOnce(url)).toEqual(migrationNames.slice(8));
    const asReporting = url.replace(/\/\/[^@]*@/, `//${role}@`);
    for (const table of moved.filter((name) => name !== "throttle"))
      await expect(query(asReporting, `SELECT * FROM public.${table}`), table).rejects.toThrow("permission denied");
    expect(await query(asReporting, "SELECT * FROM public.throttle")).toEqual([]);
    await expect(query(asReporting, "DELETE FROM public.throttle")).rejects.toThrow("permission denied");
  });

  test("is entered also from a table of migrations that another program shares, which keeps its own", async () => {
    const url = await createDatabaseOfRole();
    await migrateAsBefore(url);
    await query(url, "INSERT INTO migrations (name, batch, migration_time) VALUES ('20240101-theirs', 1, now())");
    expect(await migrateOnce(url)).toEqual(migrationNames.slice(8));
    expect(await query(url, "SELECT name FROM public.migrations ORDER BY id")).toHaveLength(9);
    expect(await query(url, "SELECT is_locked FROM public.migrations_lock")).toEqual([{ is_locked: 0 }]);
    expect((await query(url, "SELECT name FROM latchkey.migrations ORDER BY id")).map(({ name }) => name)).toEqual(
      migrationNames,
    );
    expect((await startTestService({}, url)).url).toMatch(/^http/);
  });

  test("of several earlier installations, takes over the one that the role would use, or asks", async () => {
    const url = await createDatabaseOfRole();
    const role = new URL(url).username;
    await migrateAsBefore(url);
    await query(url, "ALTER SCHEMA public RENAME TO first; CREATE SCHEMA public");
    await migrateAsBefore(url);
    await query(url, "ALTER SCHEMA public RENAME TO second; CREATE SCHEMA public");
    const asks = runProgram(["migrate"], { DATABASE_URL: url, SECRET_KEY: secretKey });
    expect(await asks.exit).toBe(69);
    expect(asks.stderr).toEqual([expect.stringMatching(/The schemas first and second both have tables of Latchkey: /)]);
    await query(url, `ALTER ROLE ${role} SET search_path = nowhere, second, first`);
    await query(
      url,
      "INSERT INTO second.users (id, username, password_hash) VALUES (gen_random_uuid(), 'miguel', '-')",
    );
    expect(await migrateOnce(url)).toEqual(migrationNames.slice(8));
    expect(await query(url, "SELECT username FROM latchkey.users")).toEqual([{ username: "miguel" }]);
  });
});

describe("tables that another role has made", () => {
  const settings = (DATABASE_URL: string) => ({ DATABASE_URL, SECRET_KEY: secretKey });
  const expectRefused = async (
    url: string,
    reason: RegExp,
    commands = [["migrate"], [], ["sessions", "end", "--all"]],
  ) => {
    for (const command of commands) {
      const program = runProgram(command, settings(url));
      expect(await program.exit, command.join(" ")).toBe(69);
      expect(program.stderr).toEqual([expect.stringMatching(reason)]);
    }
  };
  const nameIn = (url: string) => new URL(url).pathname.slice(1);
  /** @returns the role's name, and its URL for the database */
  const createRole = async (url: string, prefix: string): Promise<[name: string, url: string]> => {
    const role = `${prefix}_${nameIn(url)}`;
    await query(inject("postgres"), `CREATE ROLE ${role} LOGIN; GRANT CREATE ON DATABASE ${nameIn(url)} TO ${role}`);
    return [role, url.replace(/\/\/[^@]*@/, `//${role}@`)];
  };
  const grantAll = "GRANT USAGE ON SCHEMA latchkey TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA latchkey TO PUBLIC";
  const administrator = (url: string) => urlOf({ ...inject("postgres"), database: nameIn(url) });

  test("are refused, not served on: the schema, a table or a function in it, also by a superuser; roles that are trusted are not", async () => {
    const url = await createDatabaseOfRole();
    const [mallory, asMallory] = await createRole(url, "mallory");
    await migrateOnce(asMallory);
    await query(asMallory, grantAll);
    const belongs = (item: string) =>
      new RegExp(`The ${item} belongs to the role ${mallory}, which is not .* superuser\\.$`);
    await expectRefused(url, belongs("schema latchkey"));
    await expectRefused(administrator(url), belongs("schema latchkey"), [["migrate"]]);

    await query(administrator(url), `ALTER SCHEMA latchkey OWNER TO ${nameIn(url)}`);
    await expectRefused(url, belongs("table latchkey.api_key_secrets"), [[]]);
    // The schema's owner becomes a member of the tables' owner, and so owns them.
    await query(inject("postgres"), `GRANT ${mallory} TO ${nameIn(url)}`);
    expect(await migrateOnce(url)).toEqual([]);
    await query(inject("postgres"), `REVOKE ${mallory} FROM ${nameIn(url)}`);
    await expect(migrateOnce(url)).rejects.toThrow(
      `The table latchkey.api_key_secrets belongs to the role ${mallory}, `,
    );
    await query(administrator(url), `REASSIGN OWNED BY ${mallory} TO ${nameIn(url)}`);
    expect(await migrateOnce(url)).toEqual([]);
    await query(
      administrator(url),
      `CREATE FUNCTION latchkey.first_token_epoch(text) RETURNS integer LANGUAGE sql AS 'SELECT 1';
      ALTER FUNCTION latchkey.first_token_epoch(text) OWNER TO ${mallory}`,
    );
    await expectRefused(url, belongs("function latchkey.first_token_epoch"), [["migrate"]]);
  });

  test("where an earlier version would look for its own are refused before anything in them is read, and ignored elsewhere", async () => {
    const url = await createDatabaseOfRole();
    const [mallory, asMallory] = await createRole(url, "mallory");
    await query(url, `GRANT CREATE ON SCHEMA public TO ${mallory}`);
    await migrateAsBefore(asMallory);
    await query(
      asMallory,
      `GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
      CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $e$spied$e$; END';
      ALTER TABLE migrations ENABLE ROW LEVEL SECURITY; CREATE POLICY spies ON migrations USING (spy())`,
    );
    await expectRefused(url, new RegExp(`The installation in the schema public belongs to the role ${mallory}, `), [
      [],
    ]);
    await query(url, "ALTER SCHEMA public RENAME TO elsewhere; CREATE SCHEMA public");
    expect(await migrateOnce(url)).toEqual(migrationNames);
  });

  test("and two installations on the search_path of the role are refused; one elsewhere, or of an untrusted role, changes nothing", async () => {
    const url = await createDatabaseOfRole();
    const [mallory, asMallory] = await createRole(url, "mallory");
    expect(await migrateOnce(url)).toEqual(migrationNames);
    await migrateAsBefore(url);
    await expectRefused(url, /The schemas latchkey and public both have tables of Latchkey: /);
    await query(url, "ALTER SCHEMA public RENAME TO elsewhere; CREATE SCHEMA public");
    await query(url, `GRANT USAGE, CREATE ON SCHEMA public TO ${mallory}`);
    await migrateAsBefore(asMallory);
    await query(asMallory, "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC");
    const service = await startTestService({}, url);
    await service.register("miguel");
    expect(await query(url, "SELECT username FROM latchkey.users")).toEqual([{ username: "miguel" }]);
  });

  test("serve another role where the owner has the database, or that role is a member of the owner", async () => {
    const url = await createDatabaseOfRole();
    const [owner, asOwner] = await createRole(url, "owner");
    const [app, asApp] = await createRole(url, "app");
    expect(await migrateOnce(asOwner)).toEqual(migrationNames);
    await query(asOwner, grantAll);
    await expectRefused(asApp, new RegExp(`The schema latchkey belongs to the role ${owner}, `), [[]]);
    await query(inject("postgres"), `GRANT ${owner} TO ${app} WITH INHERIT FALSE, SET FALSE`);
    expect((await startTestService({}, asApp)).url).toMatch(/^http/);
    await query(inject("postgres"), `REVOKE ${owner} FROM ${app}; ALTER DATABASE ${nameIn(url)} OWNER TO ${owner}`);
    expect((await startTestService({}, asApp)).url).toMatch(/^http/);
  });
});

describe("a role that may not create tables", () => {
  const serve = (DATABASE_URL: string) => runProgram([], { DATABASE_URL, SECRET_KEY: secretKey });
  const grants = (role: string) => `
    GRANT USAGE ON SCHEMA latchkey TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA latchkey TO ${role};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA latchkey TO ${role};
    REVOKE INSERT, UPDATE, DELETE ON latchkey.migrations, latchkey.migrations_lock FROM ${role};
    ALTER DEFAULT PRIVILEGES IN SCHEMA latchkey GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${role};
    ALTER DEFAULT PRIVILEGES IN SCHEMA latchkey GRANT EXECUTE ON FUNCTIONS TO ${role}`;

  test("is told to migrate with another one, and serves once it has its rights, tables of later migrations included", async () => {
    const owner = await createDatabaseOfRole();
    const role = `app_${new URL(owner).username}`;
    await query(inject("postgres"), `CREATE ROLE ${role} LOGIN`);
    const url = owner.replace("//", `//${role}@`).replace(/@[^@]*@/, "@");

    const early = serve(url);
    expect(await early.exit).toBe(69);
    expect(early.stderr).toEqual([
      expect.stringMatching(
        new RegExp(
          `lacks ${migrationNames.length} migrations, which this role may not apply \\(permission denied for database .*\\)\\. Run latchkey migrate`,
        ),
      ),
    ]);
    expect(await migrateOnce(owner)).toEqual(migrationNames);
    const withoutRights = serve(url);
    expect(await withoutRights.exit).toBe(69);
    expect(withoutRights.stderr).toEqual([
      expect.stringMatching(/needs rights on the schema latchkey: permission denied for schema latchkey\.$/),
    ]);

    await query(owner, grants(role));
    const service = await startTestService({}, url);
    await service.register("miguel");
    const session = await service.send("POST", "/api/sessions", { basic: ["miguel", "correct horse battery"] });
    expect(session.status).toBe(201);
    const refreshed = await service.send("POST", "/api/token", { json: { refresh_token: session.json.refresh_token } });
    expect(refreshed.status).toBe(200);
    expect((await service.send("DELETE", "/api/sessions", { basic: ["miguel", "correct horse battery"] })).status).toBe(
      204,
    );
    expect((await service.send("GET", "/readyz")).status).toBe(200);
    const ending = runProgram(["sessions", "end", "--all"], { DATABASE_URL: url, SECRET_KEY: secretKey });
    expect(await ending.exit, ending.stderr.join("\n")).toBe(0);
    await query(owner, "CREATE TABLE latchkey.later (id integer)");
    expect(await query(url, "SELECT * FROM latchkey.later")).toEqual([]);
    await expect(query(url, "CREATE TABLE latchkey.mine (id integer)")).rejects.toThrow("permission denied");

    await query(
      owner,
      "DROP TABLE latchkey.later; UPDATE latchkey.migrations SET name = 'x' WHERE name = '0009-own-schema'",
    );
    const outdated = serve(url);
    expect(await outdated.exit).toBe(69);
    expect(outdated.stderr).toEqual([
      expect.stringContaining("lacks the migrations 0009-own-schema, which this role may not apply"),
    ]);
  });
});
