/** The tables move into their own schema while the previous version serves, and a rollback is possible. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { expectWithinBounds, recording, report, startLoad, watch } from "../support/load.ts";
import { createDatabaseOfRole, installPreviousVersion } from "../support/previousVersion.ts";
import { type Program, serveOn } from "../support/process.ts";
import { query } from "../support/service.ts";

/** Counted but never limited. */
const throttle = Object.fromEntries([
  ["THROTTLE", "on"],
  ...["ACCOUNT_ADDRESS", "ACCOUNT", "ADDRESS", "CONSECUTIVE", "REGISTRATIONS"].map((limit) => [
    `THROTTLE_${limit}`,
    "10000",
  ]),
]);
const problemsLogged = ({ stdout }: Program) => stdout.filter((line) => /"level":[4-6]0/.test(line));
const logged = ({ stdout }: Program, text: string) => stdout.filter((line) => line.includes(text));

const folder = await installPreviousVersion();

test("the previous version serves before, during and after the migration", async () => {
  const databaseUrl = await createDatabaseOfRole();
  const before = serveOn(databaseUrl, throttle, folder);
  const { send, outcomes } = recording(createClient(await before.url));
  const ledger = await createLedger(send);
  const { register, changePassword, revoke, refresh, beginSession, signIn, check } = ledger;
  const stop = startLoad(12, [register, check, refresh, changePassword, revoke, beginSession, signIn, ...watch(send)]);
  await sleep(3_000);
  expect(
    await query(databaseUrl, "SELECT to_regclass('latchkey.users') AS moved, to_regclass('users')::text AS used"),
  ).toEqual([{ moved: null, used: "users" }]);

  const after = serveOn(databaseUrl, throttle);
  const next = createClient(await after.url);
  expect(logged(after, "0009-own-schema")).toHaveLength(1);
  // The cleanup of the previous version deletes by ctid.
  await query(
    databaseUrl,
    "INSERT INTO throttle (key, points, expire) SELECT 'expired' || n, 1, 0 FROM generate_series(1, 3) n",
  );
  await query(
    databaseUrl,
    "INSERT INTO revocations (subject, minimum_epoch, expires_at) VALUES ('expired', 1, now() - interval '1 day')",
  );
  await sleep(4_000);
  // Rollback: an instance of the previous version starts.
  const again = serveOn(databaseUrl, throttle, folder);
  expect((await createClient(await again.url)("GET", "/readyz")).status).toBe(200);
  await sleep(1_000);
  await stop();

  report(outcomes);
  // The log first: it may have the cause of what follows.
  for (const [name, program] of Object.entries({ before, again, after }))
    expect(problemsLogged(program), `lines of "${name}" of level 40 and more`).toEqual([]);
  expectWithinBounds(outcomes);
  expect(outcomes.filter(({ status }) => status === 503)).toEqual([]);
  const left =
    "SELECT FROM latchkey.throttle WHERE expire = 0 UNION ALL SELECT FROM latchkey.revocations WHERE subject = 'expired'";
  expect(await query(databaseUrl, left)).toEqual([]);
  await ledger.expectKept(next, databaseUrl);

  // This version has tables that the previous one does not have, and which it made in the schema public here.
  const kinds = await query(
    databaseUrl,
    `SELECT relnamespace::regnamespace::text AS schema, string_agg(DISTINCT relkind::text, '' ORDER BY relkind::text) AS kinds
     FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'latchkey'::regnamespace)
       AND NOT (relnamespace = 'public'::regnamespace AND relname ~ '^(roles|user_roles|apis|api_key|audit_events|client|grants|authorization|device_codes|used_proofs)')
     GROUP BY 1 ORDER BY 1`,
  );
  expect(kinds).toEqual([
    { schema: "latchkey", kinds: "Sir" },
    { schema: "public", kinds: "v" },
  ]);
});
