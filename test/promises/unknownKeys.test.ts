/** Tokens with an unknown key id: anybody can send them, so they must cost little time and few queries. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { Problem } from "../../src/problems/problems.ts";
import { rotateKeys } from "../../src/tokens/keyRotation.ts";
import { createSeal } from "../../src/tokens/sealing.ts";
import { watchSigningKeys } from "../../src/tokens/signingKeys.ts";
import { signingKeyStore } from "../../src/tokens/store.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient, type Received } from "../support/client.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase, secretKey, startTestService, untilServed } from "../support/service.ts";

const encode = (value: string | object) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A well-formed token with the thumbprint of an unknown key. */
const inventedToken = () => {
  const kid = randomBytes(32).toString("base64url");
  return `${encode({ alg: "ES256", typ: "at+jwt", kid })}.${encode({ sub: "somebody" })}.${encode("signature")}`;
};
const timed = async (request: Promise<Received>) => {
  const began = performance.now();
  const answer = await request;
  return { ...answer, tookMs: performance.now() - began };
};
/** The promise is 100 ms; the rest is for a busy machine. */
const boundMs = 100 + 400;

test("400 tokens with unknown keys over eight connections are rejected at once", async () => {
  const service = await startTestService();
  let sent = 0;
  const client = async () => {
    for (let count = 0; count < 50; count += 1) {
      // A read that takes 100 ms is given up.
      const { tookMs, ...answer } = await untilServed(() => {
        sent += 1;
        return timed(service.send("GET", "/api/resource", { bearer: inventedToken() }));
      });
      expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
      expect(tookMs).toBeLessThan(boundMs);
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  expect(sent).toBeLessThan(500); // it is an exception
});

test("all callers share one query per 50 ms", async () => {
  const database = openDatabase(await createDatabase(), 1);
  const store = signingKeyStore(database);
  let queries = 0;
  const findAll = () => {
    queries += 1;
    return store.findAll();
  };
  const ignore = () => {};
  const keys = await watchSigningKeys({
    store: { ...store, findAll },
    seal: createSeal([secretKey]),
    rotationSeconds: 1e6,
    clock: () => new Date(),
    onRotation: ignore,
    onError: ignore,
  });
  const before = queries;
  const began = performance.now();
  const ask = async () => {
    for (let count = 0; count < 10; ) {
      try {
        expect(await keys.find("unknown")).toBeUndefined();
        count += 1;
      } catch (error) {
        // A read that takes 100 ms is given up.
        if (!(error instanceof Problem && error.slug === "database-unavailable")) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: 100 }, ask));
  expect(queries - before).toBeLessThanOrEqual((performance.now() - began) / 50 + 1);
  await keys.close();
  await database.close();
});

test("a key newer than the last query is found without a notification", async () => {
  const here = await startTestService();
  const there = await startTestService({}, here.databaseUrl);
  await here.register("miguel");
  await here.sql("ALTER TABLE signing_keys DISABLE TRIGGER signing_keys_notify");
  const database = openDatabase(here.databaseUrl, 1);
  const rotation = { store: signingKeyStore(database), seal: createSeal([secretKey]), rotationSeconds: 1e6 };
  // The first rotation activates the published key; the second one activates the key created then.
  await rotateKeys(rotation);
  const { kid } = await rotateKeys(rotation);
  await database.close();
  // An instance that starts now has read the new key, and signs with it once it is active.
  const newest = await startTestService({}, here.databaseUrl);
  for (const service of [newest, there]) service.advance(361);
  const bearer = await newest.token("miguel");
  expect(Buffer.from(bearer.split(".")[0] as string, "base64url").toString()).toContain(kid);
  expect((await untilServed(() => there.send("GET", "/api/resource", { bearer }))).status).toBe(200);
});

test("while Postgres is frozen, an unknown key is a 503 within 100 ms", async () => {
  const postgres = await startBreakablePostgres();
  const program = serveOn(postgres.url);
  const send = createClient(await program.url);
  await send("GET", "/api/resource", { bearer: inventedToken() });
  await postgres.freeze();
  await sleep(300); // the poll for revocations hangs by now, too
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => timed(send("GET", "/api/resource", { bearer: inventedToken() }))),
  );
  for (const { tookMs, ...answer } of answers) {
    expect(answer).toMatchObject({ status: 503, problem: "database-unavailable" });
    expect(tookMs).toBeLessThan(boundMs);
  }
  postgres.thaw();
});
