/** The keys of a client at its jwks_uri: fetched when they are needed, and again for a key that is missing. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { jwtVerify, SignJWT } from "jose";
import { expect, test } from "vitest";
import { createAssertions } from "../../src/clients/assertions.ts";
import { createClientKeySets, type KeySet } from "../../src/clients/keySets.ts";
import type { Client } from "../../src/clients/storeTypes.ts";
import { FetchError } from "../../src/http/fetchJson.ts";
import { blankClient } from "../support/blankClient.ts";
import { withLongExponent } from "../support/rsaKeys.ts";

const issuer = "https://latchkey.example";
const client: Client = {
  ...blankClient,
  authentication: "private_key_jwt",
  jwksUri: "https://app.example/keys",
};
const newKey = (kid: string) => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid } };
};
const [first, second] = [newKey("first"), newKey("second")];

test("keys are fetched once, again for a missing key at most once a minute, and again when they have expired", async () => {
  let nowMs = 0;
  let fetches = 0;
  let published: unknown = { keys: [first.jwk] };
  const keySets = createClientKeySets(
    async (url) => {
      expect(url).toBe(client.jwksUri);
      fetches += 1;
      if (published === undefined) throw new FetchError("it took too long");
      return { body: published, maxAgeSeconds: undefined };
    },
    () => nowMs,
  );
  const verify = createAssertions({
    audiences: [issuer],
    keySets,
    usedProofs: { use: async () => true },
    clock: () => new Date(),
  });
  const check = async ({ kid, privateKey }: typeof first) =>
    verify(
      client,
      await new SignJWT({ jti: "1" })
        .setProtectedHeader({ alg: "ES256", kid })
        .setIssuer(client.id)
        .setSubject(client.id)
        .setAudience(issuer)
        .setExpirationTime("1m")
        .sign(privateKey),
    );
  expect([await check(first), await check(first), fetches]).toEqual([true, true, 1]);
  published = { keys: [first.jwk, second.jwk] };
  expect([await check(second), await check(second), fetches]).toEqual([false, false, 1]);
  nowMs += 61_000;
  expect([await check(second), await check(first), fetches]).toEqual([true, true, 2]);
  nowMs += 301_000;
  published = { keys: [second.jwk] };
  expect([await check(first), await check(second), fetches]).toEqual([false, true, 3]);
  nowMs += 301_000;
  published = undefined;
  expect([await check(second), await check(first), await check(second), fetches]).toEqual([false, false, false, 4]);
  nowMs += 61_000;
  published = { keys: [second.jwk] };
  expect([await check(second), fetches]).toEqual([true, 5]);
});

test("a key whose signatures take long to verify is ignored", async () => {
  const privateKey = withLongExponent();
  const { n, e } = privateKey.export({ format: "jwk" });
  const published = { keys: [{ kty: "RSA", n, e, kid: "long" }, first.jwk] };
  const keySet = await createClientKeySets(async () => ({ body: published, maxAgeSeconds: undefined })).of(client);
  const verify = async (alg: string, kid: string, key: KeyObject) =>
    jwtVerify(await new SignJWT({}).setProtectedHeader({ alg, kid }).sign(key), keySet as KeySet);
  await expect(verify("RS256", "long", privateKey)).rejects.toThrow("no applicable key");
  expect(await verify("ES256", "first", first.privateKey)).toMatchObject({ protectedHeader: { kid: "first" } });
});
