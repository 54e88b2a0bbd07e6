/** Signing keys are rotated while the service runs, without rejecting a valid token. */
import { createRemoteJWKSet, customFetch, decodeProtectedHeader, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { createSeal } from "../../src/tokens/sealing.ts";
import { createClient } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey, startTestService, type TestService } from "../support/service.ts";

/** Two instances on one new database, and a user. */
async function pair() {
  const here = await startTestService();
  const there = await startTestService({}, here.databaseUrl);
  await here.register("miguel");
  return { here, there };
}
const kidsOf = async (service: TestService): Promise<string[]> =>
  (await service.send("GET", "/.well-known/jwks.json")).json.keys.map(({ kid }: { kid: string }) => kid);
const kidOf = (token: string) => String(decodeProtectedHeader(token).kid);
const read = (service: TestService, bearer: string) => service.send("GET", "/api/resource", { bearer });
const latchkey = (args: string[], databaseUrl: string) =>
  runProgram(args, { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey });

/** Asks until the answer is as expected. How long that takes is promised elsewhere. */
async function soon<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
  for (const began = performance.now(); ; ) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    expect(performance.now() - began, JSON.stringify(answer)).toBeLessThan(15_000);
    await new Promise(setImmediate);
  }
}

describe("a signing key", { timeout: 60_000 }, () => {
  test("has a successor from the beginning, which signs after 30 days and has its own before", async () => {
    const { here, there } = await pair();
    const old = await here.token("miguel");
    const [next = "", ...others] = await kidsOf(here);
    expect(others).toEqual([kidOf(old)]);
    // Nine minutes before it signs: early enough to publish one more key.
    await here.sql(`UPDATE signing_keys SET created_at = created_at - interval '30 days' + interval '9 minutes',
                                            activates_at = activates_at - interval '30 days' + interval '9 minutes'`);
    for (const service of [here, there])
      await soon(
        () => kidsOf(service),
        (kids) => kids.length === 3,
      );
    expect(await here.sql("SELECT 1 FROM signing_keys")).toHaveLength(3);
    const rotations = here.log.concat(there.log).filter((line) => line.includes("signing-key-rotated"));
    expect(rotations.map((line) => JSON.parse(line).keyId)).toEqual([next]);
    expect(kidOf(await here.token("miguel"))).toBe(kidOf(old));

    here.advance(541);
    there.advance(541);
    const young = await here.token("miguel");
    expect(kidOf(young)).toBe(next);
    expect(kidOf(await there.token("miguel"))).toBe(next);
    for (const service of [here, there]) {
      expect((await read(service, young)).status).toBe(200);
      expect((await read(service, old)).status).toBe(200);
      expect((await kidsOf(service)).slice(1)).toEqual([next, kidOf(old)]);
    }
  });

  test("of an earlier version, or after rotation was made more frequent, has its successor published before that signs", async () => {
    const { here, there } = await pair();
    const old = await here.token("miguel");
    await here.sql("DELETE FROM signing_keys WHERE activates_at > now()");
    // Not the successor, which an instance may have made already.
    await here.sql("UPDATE signing_keys SET activates_at = now() - interval '10 days' WHERE activates_at <= now()");
    for (const service of [here, there])
      await soon(
        () => kidsOf(service),
        (kids) => kids.length === 2 && kids.at(-1) === kidOf(old),
      );
    const frequent = await startTestService({ KEY_ROTATION_DAYS: "7" }, here.databaseUrl);
    await here.sql("UPDATE signing_keys SET revoked_at = NULL"); // wakes all
    await soon(
      () => kidsOf(frequent),
      (kids) => kids.length === 3,
    );
    const [row] = await here.sql(
      "SELECT extract(epoch FROM min(activates_at) - now()) AS seconds FROM signing_keys WHERE activates_at > now()",
    );
    expect(Number(row?.["seconds"])).toBeGreaterThan(300); // how long the JWK Set may be cached
    expect(Number(row?.["seconds"])).toBeLessThanOrEqual(360);
    for (const service of [here, there, frequent]) expect(kidOf(await service.token("miguel"))).toBe(kidOf(old));
  });

  test("is replaced under load, three times, without one refused token", async () => {
    const { here, there } = await pair();
    let isOver = false;
    const seen = new Set<string>();
    const clients = [here, there].map(async (service, index, services) => {
      while (!isOver) {
        const bearer = await service.token("miguel");
        seen.add(kidOf(bearer));
        for (const reader of services) expect((await read(reader, bearer)).status).toBe(200);
      }
      return index;
    });
    for (let rotation = 2; rotation <= 4; rotation += 1) {
      const program = latchkey(["keys", "rotate"], here.databaseUrl);
      expect(await program.exit).toBe(0);
      await soon(
        () => Promise.resolve(seen.size),
        (size) => size >= rotation - 1,
      );
      for (const service of [here, there])
        await soon(
          () => kidsOf(service),
          (kids) => kids.length === rotation + 1,
        );
      // Both clocks pass the activation, one after the other.
      here.advance(361);
      there.advance(361);
      await soon(
        () => Promise.resolve(seen.size),
        (size) => size >= rotation,
      );
    }
    isOver = true;
    await Promise.all(clients);
    expect(seen.size).toBe(4);
  });

  test("that is revoked rejects its tokens on every instance within a second, and new ones work", async () => {
    const { here, there } = await pair();
    const stolen = await here.token("miguel");
    expect((await read(there, stolen)).status).toBe(200);
    expect(await latchkey(["keys", "revoke", kidOf(stolen)], here.databaseUrl).exit).toBe(0);
    for (const service of [here, there]) {
      const answer = await soon(
        () => read(service, stolen),
        ({ status }) => status === 401,
      );
      expect(answer.problem).toBe("token-revoked");
      await soon(
        () => kidsOf(service),
        (kids) => !kids.includes(kidOf(stolen)),
      );
    }
    const bearer = await here.token("miguel");
    expect(kidOf(bearer)).not.toBe(kidOf(stolen));
    expect((await read(there, bearer)).status).toBe(200);
    // A thief can sign for next year: the key stays revoked after its revocation entry has expired.
    await here.sql("DELETE FROM revocations");
    const restarted = await startTestService({}, here.databaseUrl);
    expect((await read(restarted, stolen)).problem).toBe("token-revoked");

    const list = latchkey(["keys", "list"], here.databaseUrl);
    expect(await list.exit).toBe(0);
    expect(list.stdout.join("\n")).toMatch(new RegExp(`^${kidOf(stolen)}  revoked \\d{4}-`, "m"));
    expect(list.stdout.join("\n")).toMatch(new RegExp(`^${kidOf(bearer)}  signing since \\d{4}-`, "m"));
    const again = latchkey(["keys", "revoke", kidOf(stolen)], here.databaseUrl);
    expect(await again.exit).toBe(69);
    expect(await latchkey(["keys", "revoke"], here.databaseUrl).exit).toBe(64);
    const withHyphen = latchkey(["keys", "revoke", `-${kidOf(stolen).slice(1)}`], here.databaseUrl);
    expect(await withHyphen.exit).toBe(69);
    expect(withHyphen.stderr).toContainEqual(expect.stringContaining("There is no key -"));
  });

  test("is not added under another SECRET_KEY: exit status 78, and nothing changes", async () => {
    const { here } = await pair();
    const before = await kidsOf(here);
    for (const args of [
      ["keys", "rotate"],
      ["keys", "revoke", before[0] as string],
      ["keys", "list"],
    ]) {
      const program = runProgram(args, { DATABASE_URL: here.databaseUrl, SECRET_KEY: `another ${secretKey}` });
      expect(await program.exit).toBe(78);
    }
    expect(await kidsOf(here)).toEqual(before);
    // If such a key is inserted nevertheless, the service ignores it.
    await here.sql("INSERT INTO signing_keys (kid, private_jwe) VALUES ('alien', 'x')");
    const bearer = await here.token("miguel");
    expect((await read(here, bearer)).status).toBe(200);
    expect(await kidsOf(here)).toEqual(before);
  });

  test("of the embedded Postgres can be rotated while the service runs", async () => {
    const { mkdtemp, rm } = await import("node:fs/promises");
    const DATA_DIR = await mkdtemp("/tmp/latchkey-keys-");
    const service = runProgram([], { DATA_DIR });
    const send = createClient(await service.url);
    const rotate = runProgram(["keys", "rotate"], { DATA_DIR });
    expect(await rotate.exit).toBe(0);
    const jwks = () => send("GET", "/.well-known/jwks.json");
    const { json } = await soon(jwks, ({ json }) => json.keys.length === 3);
    expect(json.keys[1].kid).toBe(rotate.stdout.at(-1));
    service.process.kill("SIGTERM");
    expect(await service.exit).toBe(0);
    await rm(DATA_DIR, { recursive: true });
  });
});

describe("a service that verifies by itself and never reads the key set again", { timeout: 60_000 }, () => {
  /** Verifies tokens as in the guide, with a key set cached forever. */
  async function verifier(service: TestService) {
    let reads = 0;
    const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`), {
      cacheMaxAge: Infinity,
      cooldownDuration: Infinity,
      [customFetch]: (...request: Parameters<typeof fetch>) => {
        reads += 1;
        return fetch(...request);
      },
    });
    const verify = async (token: string) => kidOf(token) === (await jwtVerify(token, keys)).protectedHeader.kid;
    expect(await verify(await service.token("miguel"))).toBe(true);
    return { verify, reads: () => reads };
  }

  test("accepts what is signed right after a revocation or a rotation, on every instance", async () => {
    const { here, there } = await pair();
    // Published for as long as key sets are cached.
    await here.sql("UPDATE signing_keys SET created_at = now() - interval '6 minutes 1 second'");
    const { verify, reads } = await verifier(here);
    const stolen = kidOf(await here.token("miguel"));
    const [next = ""] = await kidsOf(here);
    const revoked = latchkey(["keys", "revoke", stolen], here.databaseUrl);
    expect(await revoked.exit).toBe(0);
    expect(revoked.stdout).toEqual([`Revoked. ${next} signs.`]);
    for (const service of [here, there]) {
      const token = await soon(
        () => service.token("miguel"),
        (token) => kidOf(token) !== stolen,
      );
      expect(kidOf(token)).toBe(next);
      expect(await verify(token)).toBe(true);
    }
    expect(await kidsOf(here)).toHaveLength(2); // its successor is published at once

    await here.sql("UPDATE signing_keys SET created_at = now() - interval '6 minutes 1 second'");
    const second = await verifier(here);
    const rotated = latchkey(["keys", "rotate"], here.databaseUrl);
    expect(await rotated.exit).toBe(0);
    const token = await soon(
      () => there.token("miguel"),
      (token) => kidOf(token) !== next,
    );
    expect(kidOf(token)).toBe(rotated.stdout[0]);
    expect(await second.verify(token)).toBe(true);
    // The next key, not the retired one.
    const again = latchkey(["keys", "revoke", kidOf(token)], here.databaseUrl);
    expect(await again.exit).toBe(0);
    expect(again.stdout[0]).toMatch(/^Revoked\. [\w-]{43} signs\.$/);
    expect(again.stdout[0]).not.toContain(next);
    expect(reads() + second.reads()).toBe(2);
  });

  test("is warned about after two revocations in a row; keys list and the instances agree on the signing key", async () => {
    const { here, there } = await pair();
    const list = async () => {
      const program = latchkey(["keys", "list"], here.databaseUrl);
      expect(await program.exit).toBe(0);
      return program.stdout.map((line) => line.split(/ +/));
    };
    const first = kidOf(await here.token("miguel"));
    expect((await list()).map(([, state]) => state)).toEqual(["next,", "signing"]);
    let known = first;
    for (const place of [1, 2]) {
      const program = latchkey(["keys", "revoke", known], here.databaseUrl);
      expect(await program.exit).toBe(0);
      const token = await soon(
        () => there.token("miguel"),
        (token) => kidOf(token) !== known,
      );
      known = kidOf(token);
      expect(program.stdout).toEqual([
        `Revoked. ${known} signs.`,
        expect.stringMatching(/^Services .* may not know it until \d{4}-.*Z\.$/),
      ]);
      const lines = await list();
      expect(lines.map(([, state]) => state)).toEqual(["next,", "signing", ...Array(place).fill("revoked")]);
      const [, , , since = ""] = lines.find(([kid]) => kid === known) ?? [];
      const [row] = await here.sql("SELECT abs(extract(epoch FROM now() - $1::timestamptz)) AS seconds", [
        since.replace(",", ""),
      ]);
      expect(Number(row?.["seconds"])).toBeLessThan(20);
    }
    const all = latchkey(["keys", "revoke", "--all"], here.databaseUrl);
    expect(await all.exit).toBe(0);
    expect((await list()).map(([, state]) => state).sort()).toEqual(["next,", ...Array(4).fill("revoked"), "signing"]);
    await soon(
      () => kidsOf(there),
      (kids) => kids.length === 2 && !kids.includes(known),
    );
  });

  test("has a revocation by the previous version recorded: the next key signs, and gets a successor", async () => {
    const { here, there } = await pair();
    const [next = "", old = ""] = await kidsOf(here);
    await here.sql("UPDATE signing_keys SET revoked_at = now() WHERE kid = $1", [old]);
    for (const service of [here, there])
      await soon(
        () => kidsOf(service),
        (kids) => kids.length === 2 && kids[1] === next,
      );
    const active = await here.sql("SELECT kid FROM signing_keys WHERE revoked_at IS NULL AND activates_at <= now()");
    expect(active).toEqual([{ kid: next }]);
  });
});

test("SECRET_KEY can be changed: tokens and sessions stay valid, also once the previous one is removed", async () => {
  const databaseUrl = await createDatabase();
  const before = await startTestService({}, databaseUrl);
  await before.register("miguel");
  const session = (await before.send("POST", "/api/sessions", { basic: ["miguel", password] })).json;
  const refresh = (service: TestService, refresh_token: string) =>
    service.send("POST", "/api/token", { json: { refresh_token } });
  const lost = (await refresh(before, session.refresh_token)).json;
  const unused = (await before.send("POST", "/api/sessions", { basic: ["miguel", password] })).json;

  const changed = { SECRET_KEY: `another ${secretKey}`, SECRET_KEY_PREVIOUS: secretKey };
  const during = await startTestService(changed, databaseUrl);
  expect((await read(during, session.access_token)).status).toBe(200);
  // The next key is sealed again as well, and can sign.
  const seal = createSeal([changed.SECRET_KEY]);
  for (const { kid, private_jwe } of await during.sql("SELECT kid, private_jwe FROM signing_keys"))
    expect((await seal.open(String(kid), String(private_jwe))).isOld).toBe(false);
  // The lost response can still be repeated.
  const repeated = (await refresh(during, session.refresh_token)).json;
  expect(repeated.refresh_token).toBe(lost.refresh_token);
  const refreshed = (await refresh(during, repeated.refresh_token)).json;

  const after = await startTestService({ SECRET_KEY: changed.SECRET_KEY }, databaseUrl);
  expect((await read(after, session.access_token)).status).toBe(200);
  expect((await refresh(after, refreshed.refresh_token)).status).toBe(200);
  // A thief of the old key could have made this token.
  expect(await refresh(after, unused.refresh_token)).toMatchObject({ status: 401, problem: "invalid-token" });
  // The instance with the old key continues with the keys that it has opened.
  expect((await read(before, session.access_token)).status).toBe(200);
});
