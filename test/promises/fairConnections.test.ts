/** Connections to Postgres are shared fairly between networks. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { createRequestContext, runInRequest } from "../../src/requestContext.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase } from "../support/service.ts";

test("a query waits for at most one query of another network", async () => {
  const database = openDatabase(await createDatabase(), 1);
  afterTest(() => database.close());
  let done = 0;
  const query = (address: string) =>
    new Promise<void>((resolve, reject) => {
      runInRequest(
        createRequestContext(address, undefined),
        () => void database.read((knex) => knex.raw("SELECT pg_sleep(0.02)")).then(() => resolve(), reject),
      );
    });
  const flood = Array.from({ length: 40 }, () =>
    query("192.0.2.1").then(() => {
      done += 1;
    }),
  );
  await query("198.51.100.1");
  // The running one, and the next in turn.
  expect(done).toBeLessThanOrEqual(2);
  await Promise.all(flood);
});
