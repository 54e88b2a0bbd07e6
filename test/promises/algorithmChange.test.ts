/** SIGNING_ALG is changed while the service runs, without rejecting a valid token. */
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/config/config.ts";
import { cleanUp } from "../../src/database/cleanup.ts";
import { openDatabase } from "../../src/database/database.ts";
import type { SigningAlgorithm } from "../../src/tokens/algorithms.ts";
import { adoptAlgorithm, keyStates, prepareNextKey } from "../../src/tokens/keyRotation.ts";
import { createSeal, makeKey } from "../../src/tokens/sealing.ts";
import { watchSigningKeys } from "../../src/tokens/signingKeys.ts";
import { signingKeyStore } from "../../src/tokens/store.ts";
import { afterTest } from "../support/afterTest.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey, startTestService, type TestService } from "../support/service.ts";

type Jwks = JSONWebKeySet & { keys: { kid: string; alg: SigningAlgorithm }[] };
const jwksOf = async (service: TestService): Promise<Jwks> =>
  (await service.send("GET", "/.well-known/jwks.json")).json;
const algorithmsOf = async (service: TestService) => (await jwksOf(service)).keys.map(({ alg }) => alg);
const algorithmOf = (token: string) => decodeProtectedHeader(token).alg;
const kidOf = (token: string) => String(decodeProtectedHeader(token).kid);
const check = (service: TestService, bearer: string) => service.send("GET", "/api/resource", { bearer });
const latchkey = (args: string[], databaseUrl: string, settings: Record<string, string> = {}) =>
  runProgram(args, { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, ...settings });

/** Asks until the answer is as expected. */
async function soon<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
  for (const began = performance.now(); ; ) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    expect(performance.now() - began, JSON.stringify(answer)).toBeLessThan(15_000);
    await new Promise(setImmediate);
  }
}

/** Moves the keys into the past, as if time had passed. Wakes all instances. */
const pass = (service: TestService, seconds: number) =>
  service.sql(`UPDATE signing_keys SET created_at = created_at - make_interval(secs => ${seconds}),
    activates_at = activates_at - make_interval(secs => ${seconds})`);
const storedKeys = (service: TestService) =>
  service.sql("SELECT kid, algorithm, activates_at FROM signing_keys ORDER BY activates_at DESC, kid");

/** Starts an instance with an algorithm on a database, as a restart with a changed setting does. */
const restart = (databaseUrl: string, algorithm: SigningAlgorithm) =>
  startTestService({ SIGNING_ALG: algorithm }, databaseUrl);

describe("the algorithm of the signing keys", { timeout: 60_000 }, () => {
  test("changes under load, three times, and no service or verifier rejects a token", async () => {
    const instances = [await startTestService({ SIGNING_ALG: "ES256" })];
    const [{ databaseUrl }] = instances as [TestService];
    instances.push(await restart(databaseUrl, "ES256"));
    const some = () => instances[0] as TestService;
    await some().register("miguel");

    /** As a service that caches the key set for `max-age` seconds, and never reads it earlier. */
    let cached = createLocalJWKSet(await jwksOf(some()));
    const readKeySet = async () => {
      cached = createLocalJWKSet(await jwksOf(some()));
    };
    let isOver = false;
    let verified = 0;
    const seen = new Set<string>();
    const clients = [0, 1].map(async (index) => {
      while (!isOver) {
        const bearer = await (instances[index] as TestService).token("miguel");
        seen.add(kidOf(bearer));
        for (const reader of [...instances]) expect((await check(reader, bearer)).status).toBe(200);
        await jwtVerify(bearer, cached);
        verified += 1;
      }
    });
    const load = Promise.all(clients);
    load.catch(() => {}); // reported below

    let former: SigningAlgorithm = "ES256";
    for (const algorithm of ["EdDSA", "RS256", "ES256"] as const) {
      await readKeySet();
      for (const index of [0, 1]) instances[index] = await restart(databaseUrl, algorithm);
      for (const instance of instances)
        await soon(
          () => algorithmsOf(instance),
          (published) => published.filter((alg) => alg === algorithm).length >= 2,
        );
      // Published, and not signing yet.
      for (const instance of instances) expect(algorithmOf(await instance.token("miguel"))).toBe(former);
      await pass(some(), 300); // the Cache-Control of the key set
      for (const instance of instances) expect(algorithmOf(await instance.token("miguel"))).toBe(former);
      await readKeySet();
      await pass(some(), 62);
      for (const instance of instances)
        await soon(
          () => instance.token("miguel"),
          (token) => algorithmOf(token) === algorithm,
        );
      const before = verified;
      await soon(
        () => Promise.resolve(verified),
        (count) => count >= before + 4,
      );
      former = algorithm;
    }
    isOver = true;
    await load;
    expect(seen.size).toBeGreaterThanOrEqual(4);

    // When the last token of the former keys has expired, one algorithm is published.
    expect(new Set(await algorithmsOf(some()))).toEqual(new Set(["ES256", "EdDSA", "RS256"]));
    await pass(some(), 26 * 3_600);
    const database = openDatabase(databaseUrl, 1);
    await cleanUp(database).finally(() => database.close());
    for (const instance of instances)
      await soon(
        () => algorithmsOf(instance),
        (published) => new Set(published).size === 1 && published.length === 2,
      );
    for (const instance of instances) expect(new Set(await algorithmsOf(instance))).toEqual(new Set(["ES256"]));
  });

  test("is ES256 for a new database, and that of the existing keys without the setting", async () => {
    const service = await startTestService();
    expect(await algorithmsOf(service)).toEqual(["ES256", "ES256"]);
    const former = await startTestService({ SIGNING_ALG: "EdDSA" });
    const upgraded = await startTestService({}, former.databaseUrl);
    // Also that of the keys that it makes.
    await pass(former, 40 * 86_400);
    const published = await soon(
      () => algorithmsOf(upgraded),
      (keys) => keys.length >= 3,
    );
    expect(new Set(published)).toEqual(new Set(["EdDSA"]));
    const [row] = await former.sql("SELECT count(*)::int AS others FROM signing_keys WHERE algorithm <> 'EdDSA'");
    expect(row?.["others"]).toBe(0);
  });

  test("must be a known one: otherwise the service does not start", () => {
    for (const value of ["es256", "HS256", "none", "Ed25519", ""])
      expect(() => readConfig({ SIGNING_ALG: value })).toThrow(/SIGNING_ALG.*ES256, EdDSA or RS256/);
  });

  test("does not alternate while instances have different settings: the last start decides", async () => {
    const former = await startTestService({ SIGNING_ALG: "EdDSA" });
    await former.register("miguel");
    const { databaseUrl } = former;
    const signing = kidOf(await former.token("miguel"));
    const latter = await restart(databaseUrl, "ES256");
    const changed = await storedKeys(former);
    expect(changed.map(({ algorithm }) => algorithm)).toEqual(["ES256", "ES256", "EdDSA", "EdDSA"]);

    // Further reads, of an instance with each setting.
    for (const algorithm of ["EdDSA", "ES256"] as const) {
      const database = openDatabase(databaseUrl, 1);
      const store = signingKeyStore(database);
      let reads = 0;
      const findAll = () => {
        reads += 1;
        return store.findAll();
      };
      const keys = await watchSigningKeys({
        store: { ...store, findAll, changeAlgorithm: async () => undefined }, // not a start of its own
        seal: createSeal([secretKey]),
        rotationSeconds: 30 * 86_400,
        algorithm,
        clock: () => new Date(),
        onRotation: () => {},
        onError: () => {},
      });
      for (const target of [2, 3, 4]) {
        keys.wake();
        await soon(
          () => Promise.resolve(reads),
          (count) => count >= target,
        );
      }
      await keys.close();
      await database.close();
    }
    expect(await storedKeys(former)).toEqual(changed);

    // Old and new instances start alternately, as in a rolling restart that fails.
    for (let round = 0; round < 4; round += 1) {
      const again = await restart(databaseUrl, "EdDSA");
      expect((await storedKeys(former)).map(({ algorithm }) => algorithm)).toEqual(["EdDSA", "EdDSA", "EdDSA"]);
      await again.close();
      const anew = await restart(databaseUrl, "ES256");
      const keys = await storedKeys(former);
      expect(keys.map(({ algorithm }) => algorithm)).toEqual(["ES256", "ES256", "EdDSA", "EdDSA"]);
      await anew.close();
    }
    for (const service of [former, latter]) expect(kidOf(await service.token("miguel"))).toBe(signing);
    await pass(former, 362);
    for (const service of [former, latter])
      await soon(
        () => service.token("miguel"),
        (token) => algorithmOf(token) === "ES256",
      );
  });

  test("is changed once by instances that start at the same time", async () => {
    const former = await startTestService({ SIGNING_ALG: "EdDSA" });
    await Promise.all([1, 2, 3, 4].map(() => restart(former.databaseUrl, "ES256")));
    expect((await storedKeys(former)).map(({ algorithm }) => algorithm)).toEqual(["ES256", "ES256", "EdDSA", "EdDSA"]);
  });

  test("is changed by the first of two processes that noticed the difference, and the key of the other is not stored", async () => {
    const database = openDatabase(await createDatabase(), 1);
    afterTest(() => database.close());
    const store = signingKeyStore(database);
    const seal = createSeal([secretKey]);
    await prepareNextKey({ store, seal, rotationSeconds: 1e6, algorithm: "EdDSA" });
    const [first, second] = [await makeKey("ES256", seal), await makeKey("ES256", seal)];
    expect((await store.changeAlgorithm(first))?.kid).toBe(first.kid);
    expect(await store.changeAlgorithm(second)).toBeUndefined();
    const [last, ...others] = await store.findAll();
    expect(last?.kid).toBe(first.kid);
    expect(others.map(({ algorithm }) => algorithm)).toEqual(["EdDSA", "EdDSA"]);
  });

  test("is that of the existing keys for a process without the setting, and for one with another", async () => {
    for (const algorithm of [undefined, "RS256"] as const) {
      const database = openDatabase(await createDatabase(), 1);
      afterTest(() => database.close());
      const store = signingKeyStore(database);
      const seal = createSeal([secretKey]);
      await store.append(await makeKey("EdDSA", seal), 1e6);
      expect(await prepareNextKey({ store, seal, rotationSeconds: 1e6, algorithm })).toBe(true);
      expect((await store.findAll()).map((key) => key.algorithm)).toEqual(["EdDSA", "EdDSA"]);
    }
  });

  test("changes again before a change is complete: a key that is about to sign stays, and the former next key comes first", async () => {
    const database = openDatabase(await createDatabase(), 1);
    afterTest(() => database.close());
    const store = signingKeyStore(database);
    const rotation = { store, seal: createSeal([secretKey]), rotationSeconds: 1e6 };
    const start = (algorithm: SigningAlgorithm) =>
      watchSigningKeys({ ...rotation, algorithm, clock: () => new Date(), onRotation: () => {}, onError: () => {} });
    const states = async () =>
      keyStates(await store.findAll(), await store.now()).map(({ algorithm, state }) => `${algorithm} ${state}`);
    await (await start("ES256")).close();
    const [next] = await store.findAll();
    await adoptAlgorithm({ ...rotation, algorithm: "EdDSA" });
    expect(await states()).toEqual(["EdDSA next", "EdDSA next", "ES256 next", "ES256 signing"]);
    // The key that was the next one is published for longest: it signs if the signing key is revoked now.
    const [, , former, signing] = await store.findAll();
    expect(former?.kid).toBe(next?.kid);
    await store.revoke(signing?.kid ?? "");
    expect(await states()).toEqual(["EdDSA next", "EdDSA next", "ES256 signing", "ES256 revoked"]);

    await database.write((knex) =>
      knex.raw(`UPDATE signing_keys SET activates_at = activates_at - interval '310 seconds',
        created_at = created_at - interval '310 seconds'`),
    );
    await adoptAlgorithm({ ...rotation, algorithm: "RS256" });
    expect(await states()).toEqual(["RS256 next", "RS256 next", "EdDSA next", "ES256 signing", "ES256 revoked"]);
    const [, first, about] = await store.findAll();
    const now = (await store.now()).getTime();
    expect((about?.activatesAt.getTime() ?? 0) - now).toBeLessThan(60_000);
    expect((first?.activatesAt.getTime() ?? 0) - now).toBeGreaterThan(330_000);
  });

  test("is that of the last key: a key that a slower instance has made for the former one is not stored", async () => {
    const database = openDatabase(await createDatabase(), 1);
    afterTest(() => database.close());
    const store = signingKeyStore(database);
    const seal = createSeal([secretKey]);
    expect(await store.append(await makeKey("ES256", seal), 1e6)).toBe(true);
    expect(await store.append(await makeKey("EdDSA", seal), 1e6)).toBe(false);
    expect(await store.append(await makeKey("ES256", seal), 1e6)).toBe(true);
  });

  test("is kept by SECRET_KEY, its change, a revocation of all keys, and a restored backup", async () => {
    for (const algorithm of ["EdDSA", "RS256"] as const) {
      const service = await startTestService({ SIGNING_ALG: algorithm });
      const { databaseUrl } = service;
      await service.register("miguel");
      const token = await service.token("miguel");
      const changed = { SECRET_KEY: `another ${secretKey}`, SECRET_KEY_PREVIOUS: secretKey };
      const during = await startTestService(changed, databaseUrl);
      expect((await check(during, token)).status).toBe(200);
      const after = await startTestService({ SECRET_KEY: changed.SECRET_KEY }, databaseUrl);
      expect((await check(after, token)).status).toBe(200);
      await expect(startTestService({}, databaseUrl)).rejects.toThrow("SECRET_KEY is not the one");
      await service.close();
      await during.close();

      for (const args of [
        ["signing-keys", "revoke", "--all"],
        ["restore", "--keep-passwords"],
      ]) {
        const program = latchkey(args, databaseUrl, { SECRET_KEY: changed.SECRET_KEY });
        expect(await program.exit).toBe(0);
        const live = await after.sql("SELECT algorithm FROM signing_keys WHERE revoked_at IS NULL");
        expect(live).toEqual([{ algorithm }, { algorithm }]);
        const next = await soon(
          () => after.send("GET", "/api/token", { basic: ["miguel", password] }),
          ({ status }) => status === 200,
        );
        expect(algorithmOf(next.json.token)).toBe(algorithm);
      }
    }
  });

  test("changes with a command: signing-keys rotate, revoke --all and restore heed SIGNING_ALG", async () => {
    const service = await startTestService();
    await service.register("miguel");
    const { databaseUrl } = service;
    const rotated = latchkey(["signing-keys", "rotate"], databaseUrl, { SIGNING_ALG: "EdDSA" });
    expect(await rotated.exit).toBe(0);
    const keys = await storedKeys(service);
    expect(keys.map(({ algorithm }) => algorithm)).toEqual(["EdDSA", "EdDSA", "ES256", "ES256"]);
    expect(rotated.stdout).toEqual([keys[1]?.["kid"]]);
    const list = latchkey(["signing-keys", "list"], databaseUrl);
    expect(await list.exit).toBe(0);
    expect(list.stdout.map((line) => JSON.parse(line)).map(({ algorithm, state }) => [algorithm, state])).toEqual([
      ["EdDSA", "next"],
      ["EdDSA", "next"],
      ["ES256", "next"],
      ["ES256", "signing"],
    ]);
    const signing = kidOf(await service.token("miguel"));
    const revoked = latchkey(["signing-keys", "revoke", signing], databaseUrl);
    expect(await revoked.exit).toBe(0);
    // Verifiers know the former next key.
    expect(revoked.stdout[0]).toBe(`Revoked. ${keys[2]?.["kid"]} signs.`);

    const all = latchkey(["signing-keys", "revoke", "--all"], databaseUrl, { SIGNING_ALG: "RS256" });
    expect(await all.exit).toBe(0);
    const token = await soon(
      () => service.token("miguel"),
      (token) => algorithmOf(token) === "RS256",
    );
    expect((await check(service, token)).status).toBe(200);
    expect(await algorithmsOf(service)).toEqual(["RS256", "RS256"]);
  });

  test("has a successor with the same algorithm after each revocation", async () => {
    const service = await startTestService({ SIGNING_ALG: "RS256" });
    await service.register("miguel");
    for (let count = 0; count < 2; count += 1) {
      const signing = kidOf(await service.token("miguel"));
      const program = latchkey(["signing-keys", "revoke", signing], service.databaseUrl, { SIGNING_ALG: "ES256" });
      expect(await program.exit).toBe(0);
      const live = await service.sql("SELECT algorithm FROM signing_keys WHERE revoked_at IS NULL");
      expect(live).toEqual([{ algorithm: "RS256" }, { algorithm: "RS256" }]);
      await soon(
        () => service.token("miguel"),
        (token) => kidOf(token) !== signing,
      );
    }
  });
});
