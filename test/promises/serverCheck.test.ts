/** A server that was read from is confirmed with a test commit, unless it was replaced or cannot commit. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { createServerCheck } from "../../src/database/serverCheck.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, query } from "../support/service.ts";

const url = await createDatabase();
const statements: string[] = [];
const observe = (statement: string) => {
  if (statement.includes("emit-message")) statements.push(statement);
  return () => {};
};
const commitProbe = openDatabase(url, 1, { observe });
afterTest(() => commitProbe.close());
let renewals = 0;
const renew = () => {
  renewals += 1;
};
const confirmServer = createServerCheck({ commitProbe, renew });
const [row] = await query(url, "SELECT pg_postmaster_start_time()::text AS server");
const server = String(row?.["server"]);

test("the server that commits is confirmed, and any server if it is unknown which one was read", async () => {
  await confirmServer(server);
  await confirmServer(undefined);
  expect(renewals).toBe(0);
});

test("another server is not confirmed, and all connections are replaced", async () => {
  await expect(confirmServer("2026-01-01 00:00:00+00")).rejects.toMatchObject({ slug: "database-unavailable" });
  expect(renewals).toBe(1);
});

test("a hundred concurrent calls share two commits, which begin after the calls", async () => {
  statements.length = 0;
  const first = confirmServer(server);
  await Promise.resolve(); // its commit has begun
  await Promise.all([first, ...Array.from({ length: 100 }, () => confirmServer(server))]);
  expect(statements).toHaveLength(2);
  await confirmServer(server);
  expect(statements).toHaveLength(3);
});
