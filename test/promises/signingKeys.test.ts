import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { keyStates, prepareNextKey } from "../../src/tokens/keyRotation.ts";
import { createSeal, SealedKeysError } from "../../src/tokens/sealing.ts";
import { watchSigningKeys } from "../../src/tokens/signingKeys.ts";
import { signingKeyStore } from "../../src/tokens/store.ts";
import type { SigningKeyStore } from "../../src/tokens/storeTypes.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, password, query, secretKey, startTestService } from "../support/service.ts";

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

const rotationSeconds = 1e6;
const ignore = () => {};
const follow = (store: SigningKeyStore) =>
  watchSigningKeys({
    store,
    seal: createSeal([secretKey]),
    rotationSeconds,
    clock: () => new Date(),
    onRotation: ignore,
    onError: ignore,
  });

test("ten concurrent starts on an empty database get the same first key", async () => {
  const database = openDatabase(await createDatabase(), 10);
  const store = signingKeyStore(database);
  const followers = await Promise.all(Array.from({ length: 10 }, () => follow(store)));
  expect(new Set(followers.map((keys) => keys.signing().kid)).size).toBe(1);
  expect(await store.findAll()).toHaveLength(2); // and its successor
  for (const keys of followers) await keys.close();
  await database.close();
});

/** A database with a signing key and the next one, without a service. */
async function keysAlone() {
  const url = await createDatabase();
  const database = openDatabase(url, 1);
  afterTest(() => database.close());
  const store = signingKeyStore(database);
  const prepare = () => prepareNextKey({ store, seal: createSeal([secretKey]), rotationSeconds });
  await prepare();
  const states = async () => keyStates(await store.findAll(), await store.now());
  return { store, prepare, states, sql: (text: string) => query(url, text) };
}

test("where none is active yet, the next key signs", async () => {
  const { store, sql } = await keysAlone();
  // As an earlier version revokes the signing key. The next one then needs a successor.
  await sql(`UPDATE signing_keys SET revoked_at = now() WHERE activates_at <= now();
    UPDATE signing_keys SET activates_at = now() + interval '5 minutes' WHERE revoked_at IS NULL`);
  const [next] = await store.findAll();
  const keys = await follow(store);
  expect(keys.jwks().keys).toHaveLength(2);
  expect(keys.signing().kid).toBe(next?.kid);
  await keys.close();
});

test("a key is published for longer than key sets are cached before it signs", async () => {
  const { store, prepare, sql } = await keysAlone();
  const secondsUntil = async (at: Date) => (at.getTime() - (await store.now()).getTime()) / 1000;
  await sql(`DELETE FROM signing_keys WHERE activates_at > now();
    UPDATE signing_keys SET activates_at = now() - interval '20 days'`);
  await prepare();
  const [, next] = await store.findAll();
  expect(await secondsUntil(next?.activatesAt ?? new Date(0))).toBeGreaterThan(300);
  await sql("UPDATE signing_keys SET activates_at = now() + interval '20 days' WHERE activates_at > now()");
  const advanced = await store.advance();
  expect(await secondsUntil(advanced?.activatesAt ?? new Date(0))).toBeGreaterThan(300);
});

test("where the signing key is revoked, the next one signs at once; revoking a retired key changes nothing", async () => {
  const { store, prepare, states, sql } = await keysAlone();
  const names = async () => (await states()).map(({ state }) => state);
  expect(await names()).toEqual(["next", "signing"]);
  const [next, first] = await states();
  await store.revoke(first?.kid ?? "");
  const [signing, revoked] = await store.findAll();
  expect([signing?.kid, revoked?.kid]).toEqual([next?.kid, first?.kid]);
  expect(signing?.activatesAt.getTime()).toBeLessThanOrEqual((await store.now()).getTime());
  await prepare();
  await sql("UPDATE signing_keys SET activates_at = now() WHERE activates_at > now()");
  await prepare();
  expect(await names()).toEqual(["next", "signing", "retired", "revoked"]);
  await store.revoke(next?.kid ?? "");
  expect(await names()).toEqual(["next", "signing", "revoked", "revoked"]);
});

test("a key inserted into the database without SECRET_KEY is not trusted", async () => {
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

test("another SECRET_KEY fails the start and changes nothing", async () => {
  const before = await storedKey();
  const start = startTestService({ SECRET_KEY: `another ${secretKey}` }, service.databaseUrl);
  await expect(start).rejects.toThrow(SealedKeysError);
  expect(await storedKey()).toEqual(before);
});

test.each([
  ["with", ["\n", "", "\n"]],
  ["without", ["", "\n", ""]],
])(
  "a SECRET_KEY that was first given %s a line break at its end opens everything either way",
  async (_first, breaks) => {
    const databaseUrl = await createDatabase();
    let session: { access_token: string; refresh_token: string } | undefined;
    for (const lineBreak of breaks) {
      const one = await startTestService({ SECRET_KEY: `${secretKey}${lineBreak}` }, databaseUrl);
      if (!session) {
        await one.register("miguel");
        session = (await one.send("POST", "/api/sessions", { basic: ["miguel", password] })).json;
      }
      expect((await one.send("GET", "/api/resource", { bearer: session?.access_token ?? "" })).status).toBe(200);
      const refresh = { refresh_token: session?.refresh_token };
      const refreshed = await one.send("POST", "/api/token", { json: refresh });
      expect(refreshed.status).toBe(200);
      session = refreshed.json;
      await one.close();
    }
  },
);
