import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { openDatabase } from "../src/database/database.ts";
import { createSeal } from "../src/tokens/sealing.ts";
import { followSigningKeys, SealedKeysError } from "../src/tokens/signingKeys.ts";
import { signingKeyStore } from "../src/tokens/store.ts";
import { createDatabase, password, secretKey, startTestService } from "./support/service.ts";

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
  const database = openDatabase(await createDatabase(), 10);
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
