import { generateKeyPairSync } from "node:crypto";
import { expect, test, vi } from "vitest";
import { openDatabase } from "../src/database/database.ts";
import { createSeal } from "../src/tokens/sealing.ts";
import { followSigningKeys, rotateKeys, SealedKeysError } from "../src/tokens/signingKeys.ts";
import { signingKeyStore } from "../src/tokens/store.ts";
import { createDatabase, secretKey, startTestService } from "./support/service.ts";

const service = await startTestService();
await service.register("miguel");
const storedKey = async () =>
  (await service.sql("SELECT kid, private_jwe FROM signing_keys"))[0] as Record<string, string>;

test("the private half in the database cannot be read without SECRET_KEY", async () => {
  const { kid = "", private_jwe = "" } = await storedKey();
  const { privateJwk: jwk } = await createSeal([secretKey]).open(kid, private_jwe);
  const [row] = await service.sql("SELECT signing_keys::text AS text FROM signing_keys");
  expect(jwk.d).toMatch(/^[\w-]{43}$/);
  expect(String(row?.["text"])).not.toContain(jwk.d);
  await expect(createSeal([`${secretKey}x`]).open(kid, private_jwe)).rejects.toThrow();
  await expect(createSeal([secretKey]).open("another-kid", private_jwe)).rejects.toThrow();
});

test("of ten who start at once on an empty database, all get the same first key", async () => {
  const database = openDatabase(await createDatabase(), 10, () => {});
  const store = signingKeyStore(database);
  const follow = () =>
    followSigningKeys(
      store,
      createSeal([secretKey]),
      1e6,
      () => new Date(),
      () => {},
      () => {},
    );
  const followers = await Promise.all(Array.from({ length: 10 }, follow));
  expect(new Set(followers.map((keys) => keys.signing().kid)).size).toBe(1);
  for (const keys of followers) await keys.close();
  await database.close();
});

test("a key that was put into the database without SECRET_KEY is not trusted", async () => {
  const other = await startTestService();
  const { publicKey } = generateKeyPairSync("ed25519");
  await other.sql("INSERT INTO signing_keys (kid, private_jwe) VALUES ('planted', $1)", [
    JSON.stringify(publicKey.export({ format: "jwk" })),
  ]);
  await expect(startTestService({}, other.databaseUrl)).rejects.toThrow(SealedKeysError);
});

test("a restart keeps the key, and tokens stay valid", async () => {
  const bearer = await service.token("miguel");
  const again = await startTestService({}, service.databaseUrl);
  expect((await again.send("GET", "/api/resource", { bearer })).status).toBe(200);
});

test("another SECRET_KEY refuses the start, and changes nothing", async () => {
  const before = await storedKey();
  const start = startTestService({ SECRET_KEY: `another ${secretKey}` }, service.databaseUrl);
  await expect(start).rejects.toThrow(SealedKeysError);
  expect(await storedKey()).toEqual(before);
});

test("while no key is old enough to sign, the one that may sign first does, rather than none", async () => {
  const other = await startTestService();
  const { username } = await other.register();
  const database = openDatabase(other.databaseUrl, 1, () => {});
  const store = signingKeyStore(database);
  const seal = createSeal([secretKey]);
  const kidOf = async () =>
    JSON.parse(Buffer.from((await other.token(username)).split(".")[0] ?? "", "base64url").toString()).kid;
  const stolen = await kidOf();
  // Neither signs yet: the service has published them for too short a time.
  const next = await rotateKeys(store, seal);
  await rotateKeys(store, seal);
  expect(await kidOf()).toBe(stolen);
  await store.revoke(stolen);
  await vi.waitUntil(async () => (await kidOf()) !== stolen, { timeout: 5000, interval: 10 });
  expect(await kidOf()).toBe(next);
  const bearer = await other.token(username);
  expect((await other.send("GET", "/api/resource", { bearer })).status).toBe(200);
  await database.close();
});
