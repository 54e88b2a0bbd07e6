/** The previous version, as far as the database is concerned: it has its tables in the schema that the search_path begins with. */
import { randomBytes } from "node:crypto";
import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, inject } from "vitest";
import { query, urlOf } from "./service.ts";
import { temporaryFolder } from "./temporaryFolder.ts";

/** @returns the URL of an empty database whose owner is not called `latchkey`, so that "$user" is no schema of the service */
export async function createDatabaseOfRole(): Promise<string> {
  const name = `other_${randomBytes(6).toString("hex")}`;
  const administrator = inject("postgres");
  await query(administrator, `CREATE ROLE ${name} LOGIN`);
  await query(administrator, `CREATE DATABASE ${name} TEMPLATE template0 OWNER ${name}`);
  return urlOf({ ...administrator, user: name, database: name });
}

/** @returns the folder where it is installed: this version without a schema of its own. It cleans up each second. */
export async function installPreviousVersion(): Promise<string> {
  const folder = await temporaryFolder();
  for (const part of ["dist", "package.json", "openapi.yaml"]) await cp(part, join(folder, part), { recursive: true });
  await symlink(resolve("node_modules"), join(folder, "node_modules"));
  const edits: [file: string, before: string | RegExp, after: string][] = [
    ["database/schema", /(?<=searchPath = )`[^`]*`/, `'"$user", public'`],
    ["database/migrate", /await selectSchema\(transaction\);/, ""],
    ["database/migrate", /\["0009-own-schema", ownSchema\],/, ""],
    // It records no lifetimes, and its entries in the revocation list are not unique and kept for 25 hours.
    ["database/migrate", /\["0010-token-lifetimes", tokenLifetimes\],/, ""],
    ["database/writeCheck", /"token_lifetimes",/, ""],
    ["database/cleanup", /\{ table: "token_lifetimes"[^}]*\},/, ""],
    ["tokens/store", /async record\([^{]*\{/, "async record() { return;"],
    ["revocations/revoke", ", is_unique)", ")"],
    ["revocations/revoke", "everyTokenExpired(commitSeconds)}, true", "\"now() + interval '25 hours'\"}"],
    ["revocations/revoke", /ON CONFLICT[^;]*?pg_current_xact_id\(\)/, ""],
    // Its functions are created with the tables: this version calls them.
    ["database/migrate", /\["0011-sign-in", signIn\],/, ""],
    [
      "database/migrate",
      /\["0008-guesses", guesses\]/,
      '["0008-guesses", { up: async (knex) => { await guesses.up(knex); await signIn.up(knex); await accessControl.up(knex); await oauth.up(knex); } }]',
    ],
    ["database/migrate", /\["0012-access-control", accessControl\],/, ""],
    ["database/migrate", /\["0013-oauth", oauth\],/, ""],
    ["database/migrate", /\.withSchema\(schemaName\)/, ""],
    ["database/cleanup", /(?<=intervalMs = )60_000/, "1_000"],
    // It makes Ed25519 keys, and takes every key for one.
    ["tokens/algorithms", 'defaultAlgorithm = "ES256"', 'defaultAlgorithm = "EdDSA"'],
    [
      "tokens/algorithms",
      /(?<=export function publicHalf\()[^)]*\) \{/,
      'kid, { x = "" }) { return { kty: "OKP", crv: "Ed25519", alg: "EdDSA", use: "sig", kid, x };',
    ],
    ["tokens/sealing", /(?<=const sealedKeyId = )[^;]*/, "(kid) => kid"],
  ];
  for (const [name, before, after] of edits) {
    const file = join(folder, `dist/src/${name}.js`);
    const text = await readFile(file, "utf8");
    expect(text).toMatch(before);
    await writeFile(
      file,
      text.replace(before, () => after),
    );
  }
  return folder;
}
