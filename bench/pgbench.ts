/** The ceiling of refreshes: the statements of one, as src/sessions/store.ts has them, sent by pgbench. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, createDatabase, fill } from "./databases.ts";
import type { Measured } from "./load.ts";
import { runToEnd } from "./processes.ts";

/** As many as the loads have. */
export const refreshConnections = 8;
const sessions = 1_000;

const script = `
\\set n random(1, ${sessions})
SELECT user_id, seed, generation, refresh_digest, ended_at IS NOT NULL OR token_epoch <> user_epoch,
       least(idle_expires_at, expires_at) <= now(),
       (SELECT count(*)::integer FROM unnest(recent_rotations) AS rotated_at WHERE rotated_at > now() - make_interval(secs => 10))
FROM sessions JOIN users ON users.id = user_id
WHERE sessions.id = ('00000000-0000-7000-8000-' || lpad(to_hex(:n::integer), 12, '0'))::uuid;
UPDATE sessions
SET generation = generation + 1, refresh_digest = sha256(generation::text::bytea), last_used_at = now(),
    recent_rotations = (ARRAY[now()] || recent_rotations)[1:20], idle_expires_at = now() + make_interval(secs => 1209600),
    tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => 900))
FROM users
WHERE sessions.id = ('00000000-0000-7000-8000-' || lpad(to_hex(:n::integer), 12, '0'))::uuid
  AND ended_at IS NULL AND least(idle_expires_at, expires_at) > now() AND users.id = user_id AND token_epoch = user_epoch
RETURNING user_id, username, token_epoch;
`;

let database: string | undefined;

/** @returns nothing where there is no pgbench on the path */
export async function refreshStatements(connection: Connection, seconds: number): Promise<Measured> {
  if (!isThere()) return { perSecond: Number.NaN, requests: 1 };
  if (database === undefined) {
    database = await createDatabase(connection);
    await fill(database, { users: sessions, revocations: 1 });
  }
  const folder = await mkdtemp(join(tmpdir(), "latchkey-pgbench-"));
  const file = join(folder, "refresh.sql");
  await writeFile(file, script);
  const clients = String(refreshConnections);
  const args = [
    "--no-vacuum",
    "--protocol",
    "extended",
    "--client",
    clients,
    "--time",
    String(seconds),
    "--file",
    file,
  ];
  const printed = await runToEnd(["pgbench", ...args, database], seconds * 1000 + 20_000);
  await rm(folder, { recursive: true });
  const perSecond = Number(/^tps = ([\d.]+)/m.exec(printed)?.[1]);
  return { perSecond, requests: Math.round(perSecond * seconds) };
}

function isThere(): boolean {
  try {
    execFileSync("pgbench", ["--version"]);
    return true;
  } catch {
    return false;
  }
}
