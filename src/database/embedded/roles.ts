/**
 * The roles of the embedded Postgres. The role of the service owns its database and is not a superuser, so that a vulnerability
 * in the service cannot read files or run programs through Postgres. Only this file connects as the superuser.
 */
import pg from "../pg.ts";

export type EmbeddedConnection = { host: string; port: number; user: string; database: string };

/** Part of the name of the Unix socket. Nothing listens on this TCP port. */
export const socketPort = 5432;

/** The bootstrap superuser, which initdb creates. */
export const superuser = "postgres";
const service = "latchkey";
/** A superuser that exists only while a cluster of an earlier version is upgraded. */
const upgrade = "latchkey_upgrade";

/** The options of `pg` for a connection as the service. There is no password, because the socket's folder is private. */
export const serviceConnection = (host: string, port: number): EmbeddedConnection => ({
  host,
  port,
  user: service,
  database: service,
});

/**
 * Creates the role and the database of the service if they are missing.
 * @throws the errors of `pg` if the server is not ready
 */
export async function prepareRoles({ host, port }: EmbeddedConnection): Promise<void> {
  const as = (user: string, database = "postgres") => ({ host, port, user, database });
  const prepare = () => withConnection(as(superuser), makeRoleAndDatabase);
  const isUpgrading = await prepare().catch(async (error: { code?: string }) => {
    if (error.code !== "28000") throw error; // the role does not exist
    await withConnection(as(service), addUpgradeRole);
    await withConnection(as(upgrade), demoteService);
    return prepare();
  });
  if (!isUpgrading) return;
  await withConnection(as(superuser, service), handOverObjects);
  await withConnection(as(superuser), (client) => client.query(`DROP ROLE ${upgrade}`));
}

/** @returns whether an upgrade of an earlier version's cluster is unfinished */
async function makeRoleAndDatabase(client: pg.Client): Promise<boolean> {
  if (!(await hasRole(client, service))) await client.query(`CREATE ROLE ${service} LOGIN`);
  const found = await client.query("SELECT FROM pg_database WHERE datname = $1", [service]);
  if (found.rowCount === 0) await client.query(`CREATE DATABASE ${service} OWNER ${service}`);
  return hasRole(client, upgrade);
}

/** In a cluster of an earlier version, the service is the bootstrap superuser. Only another superuser can rename it. */
async function addUpgradeRole(client: pg.Client): Promise<void> {
  if (!(await hasRole(client, upgrade))) await client.query(`CREATE ROLE ${upgrade} SUPERUSER LOGIN`);
}

async function demoteService(client: pg.Client): Promise<void> {
  await client.query(`BEGIN;
    ALTER ROLE ${service} RENAME TO ${superuser};
    CREATE ROLE ${service} LOGIN;
    COMMIT`);
}

/** Atomic. The upgrade role exists until this has succeeded, so that the next start repeats it after a crash. */
async function handOverObjects(client: pg.Client): Promise<void> {
  await client.query(`DO $$
    DECLARE object record;
    BEGIN
      ALTER DATABASE ${service} OWNER TO ${service};
      FOR object IN
        WITH spaces AS (SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('public', 'latchkey'))
        SELECT format('SCHEMA %I', nspname) AS name FROM spaces WHERE nspname <> 'public'
        UNION ALL
        SELECT format('TABLE %s', pg_class.oid::regclass) FROM pg_class JOIN spaces ON spaces.oid = relnamespace
          WHERE relkind IN ('r', 'p', 'v', 'm')
        UNION ALL
        SELECT format('ROUTINE %s', pg_proc.oid::regprocedure) FROM pg_proc JOIN spaces ON spaces.oid = pronamespace
      LOOP
        EXECUTE format('ALTER %s OWNER TO ${service}', object.name);
      END LOOP;
    END $$`);
}

async function hasRole(client: pg.Client, role: string): Promise<boolean> {
  return (await client.query("SELECT FROM pg_roles WHERE rolname = $1", [role])).rowCount === 1;
}

async function withConnection<T>(connection: EmbeddedConnection, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...connection, ssl: false, connectionTimeoutMillis: 2_000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
