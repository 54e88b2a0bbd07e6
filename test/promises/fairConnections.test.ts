/** Connections to Postgres are shared fairly between networks. */
import { expect, test } from "vitest";
import { newSecret } from "../../src/apiKeys/format.ts";
import { createApiKeyVerification } from "../../src/apiKeys/verification/verification.ts";
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
  const flood = Array.from({ length: 15 }, () =>
    query("192.0.2.1").then(() => {
      done += 1;
    }),
  );
  await query("198.51.100.1");
  // The running one, and the next in turn.
  expect(done).toBeLessThanOrEqual(2);
  await Promise.all(flood);
});

test("the first check of an API key waits for at most one unknown key of another network", async () => {
  const database = openDatabase(await createDatabase(), 1);
  afterTest(() => database.close());
  const { verify } = createApiKeyVerification({
    store: { findByDigest: () => database.read((knex) => knex.raw("SELECT pg_sleep(0.02)")).then(() => undefined) },
    revocations: { onEntry: () => {}, requireCurrent: () => {} },
    lastUses: { record: () => {} },
    clock: () => new Date(),
    audit: () => {},
  });
  let done = 0;
  const check = async (address: string) => {
    const verified = runInRequest(createRequestContext(address, undefined), async () => verify(newSecret().text));
    await expect(verified).rejects.toMatchObject({ slug: "invalid-token" });
    done += 1;
  };
  const flood = Array.from({ length: 15 }, () => check("192.0.2.1"));
  await check("198.51.100.1");
  // Itself, the running one, and the next in turn.
  expect(done).toBeLessThanOrEqual(3);
  await Promise.all(flood);
});
