/** The algorithm of the signing keys and instances of the previous version, which knows Ed25519 keys only. */
import { decodeProtectedHeader } from "jose";
import { expect, test, vi } from "vitest";
import { type Client, createClient } from "../support/client.ts";
import { createDatabaseOfRole, installPreviousVersion } from "../support/previousVersion.ts";
import { type Program, runProgram, serveOn } from "../support/process.ts";
import { password, query, secretKey } from "../support/service.ts";

const folder = await installPreviousVersion();
/** On a busy machine, a hash can take longer than a request may wait. A key that cannot be opened has the same problem. */
const isBusy = (line: string) => line.includes('"problem":"overloaded"') && !line.includes("No signing key");
/** Errors, and warnings about keys. */
const problemsLogged = ({ stdout }: Program) =>
  stdout.filter((line) => /"level":[56]0|could not read the signing keys/.test(line) && !isBusy(line));
const tokenOf = (send: Client): Promise<string> =>
  vi.waitUntil(async () => (await send("GET", "/api/token", { basic: ["miguel", password] })).json.token, {
    timeout: 10_000,
  });
const statusOf = async (send: Client, bearer: string) => (await send("GET", "/api/resource", { bearer })).status;
const algorithmsOf = async (send: Client) =>
  (await send("GET", "/.well-known/jwks.json")).json.keys.map(
    ({ alg, kty }: Record<string, string>) => `${kty} ${alg}`,
  );

/** An instance of the previous version that has made its keys, and a user. */
async function installation() {
  const databaseUrl = await createDatabaseOfRole();
  const before = serveOn(databaseUrl, {}, folder);
  const old = createClient(await before.url);
  const register = () => old("POST", "/api/users", { json: { username: "miguel", password } });
  // On a busy machine, the first hash can take longer than a request may wait.
  await vi.waitUntil(async () => (await register()).status === 201, { timeout: 20_000 });
  return { databaseUrl, before, old };
}

test("stays EdDSA during an upgrade: the versions accept each other's tokens, also of a key that this version made", async () => {
  const { databaseUrl, before, old } = await installation();
  const after = serveOn(databaseUrl);
  const now = createClient(await after.url);
  const exchange = async () => {
    for (const [issuing, checking] of [
      [old, now],
      [now, old],
    ] as const) {
      const token = await tokenOf(issuing);
      expect(decodeProtectedHeader(token).alg).toBe("EdDSA");
      expect(await statusOf(checking, token)).toBe(200);
    }
  };
  await exchange();
  const rotate = runProgram(["signing-keys", "rotate"], { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey });
  expect(await rotate.exit).toBe(0);
  await query(databaseUrl, "UPDATE latchkey.signing_keys SET activates_at = activates_at - interval '10 minutes'");
  for (const send of [old, now])
    await vi.waitUntil(async () => decodeProtectedHeader(await tokenOf(send)).kid === rotate.stdout[0], {
      timeout: 10_000,
    });
  await exchange();
  expect(await algorithmsOf(old)).toEqual(Array(3).fill("OKP EdDSA"));
  expect(await algorithmsOf(now)).toEqual(Array(3).fill("OKP EdDSA"));
  for (const program of [before, after]) expect(problemsLogged(program)).toEqual([]);
});

test.each(["ES256", "RS256"])(
  "changed to %s too early, the previous version publishes no wrong key and accepts its own tokens; a start after it completes the change",
  async (algorithm) => {
    const { databaseUrl, before, old } = await installation();
    const early = serveOn(databaseUrl, { SIGNING_ALG: algorithm });
    const now = createClient(await early.url);
    // Woken by the change, the previous version makes a next key of its own, because it does not see the new ones. This version
    // makes its second key only if it is faster.
    await vi.waitUntil(async () => (await algorithmsOf(old)).length === 3, { timeout: 10_000 });
    await query(databaseUrl, "UPDATE latchkey.signing_keys SET activates_at = activates_at - interval '362 seconds'");
    await vi.waitUntil(async () => decodeProtectedHeader(await tokenOf(now)).alg === algorithm, { timeout: 10_000 });
    // A rollback as well: another instance starts.
    const again = serveOn(databaseUrl, {}, folder);
    for (const send of [old, createClient(await again.url)]) {
      expect(new Set(await algorithmsOf(send))).toEqual(new Set(["OKP EdDSA"]));
      const token = await tokenOf(send);
      expect(decodeProtectedHeader(token).alg).toBe("EdDSA");
      for (const checking of [old, now]) expect(await statusOf(checking, token)).toBe(200);
    }
    for (const program of [before, again, early]) expect(problemsLogged(program)).toEqual([]);

    for (const { process, exit } of [before, again]) {
      process.kill();
      await exit;
    }
    await serveOn(databaseUrl, { SIGNING_ALG: algorithm }).url;
    const [last] = await query(
      databaseUrl,
      "SELECT algorithm FROM latchkey.signing_keys ORDER BY activates_at DESC, kid",
    );
    expect(last, "the key that signs last").toEqual({ algorithm });
  },
);
