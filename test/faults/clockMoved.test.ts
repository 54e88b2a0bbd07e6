/** The clock of the service's machine is wrong while it runs. The database's is right. */
import { readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { type Client, createClient, registerUser } from "../support/client.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase, password } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const tokenTtlSeconds = 12;
const basic: [string, string] = ["miguel", password];

/** @returns settings for a program whose clock `set` moves, by a text such as "+1h" */
async function movableClock() {
  const folder = await temporaryFolder();
  const file = join(folder, "offset");
  const set = async (offset: string) => {
    await writeFile(`${file}.new`, `${offset}\n`);
    await rename(`${file}.new`, file); // it may be read at any moment
  };
  await set("+0");
  const settings = {
    LD_PRELOAD: await findLibfaketime(),
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  return { set, settings };
}

/** In the folder of the machine's architecture. */
async function findLibfaketime(): Promise<string> {
  for (const architecture of await readdir("/usr/lib")) {
    const folder = join("/usr/lib", architecture, "faketime");
    const names = await readdir(folder).catch((): string[] => []);
    if (names.includes("libfaketimeMT.so.1")) return join(folder, "libfaketimeMT.so.1");
  }
  throw new Error("This needs libfaketime (the package faketime of Debian and Ubuntu).");
}

const read = (send: Client, bearer: string) => send("GET", "/api/resource", { bearer });

/** Repeats the check until then. */
async function watchUntil(untilMs: number, look: () => Promise<void>): Promise<void> {
  while (Date.now() < untilMs) {
    await look();
    await sleep(50);
  }
}

test.each([
  ["forward an hour", "+1h"],
  ["back a day", "-1d"],
])("set %s, and right again: nothing at all changes", async (_name, offset) => {
  const clock = await movableClock();
  const settings = { ...clock.settings, TOKEN_TTL_SECONDS: String(tokenTtlSeconds) };
  const send = createClient(await serveOn(await createDatabase(), settings).url);
  await registerUser(send, { username: "miguel", password });
  const signIn = async () => (await send("POST", "/api/sessions", { basic })).json;
  const takeToken = async (): Promise<string> => (await send("GET", "/api/token", { basic })).json.token;

  const bearer = await takeToken();
  const revoked = await takeToken(); // the later one: it is valid for longer
  expect((await send("DELETE", "/api/token", { bearer: revoked })).status).toBe(204);
  let { refresh_token } = await signIn();
  // This process uses the database's clock.
  const expiresAtMs = Number(decodeJwt(bearer).exp) * 1_000;
  const issuedAtMs = expiresAtMs - tokenTtlSeconds * 1_000;

  const expectAsEver = async () => {
    expect(await read(send, bearer)).toMatchObject({ status: 200 });
    expect(await read(send, revoked)).toMatchObject({ status: 401, problem: "token-revoked" });
    const signedIn = await signIn();
    expect(await read(send, signedIn.access_token)).toMatchObject({ status: 200 });
    expect(Math.abs(Number(decodeJwt(signedIn.access_token).iat) * 1_000 - Date.now())).toBeLessThan(3_000);
    const refreshed = await send("POST", "/api/token", { json: { refresh_token } });
    expect(refreshed.status).toBe(200);
    refresh_token = refreshed.json.refresh_token;
    expect(await read(send, refreshed.json.access_token)).toMatchObject({ status: 200 });
  };
  await expectAsEver();
  await clock.set(offset);
  await watchUntil(issuedAtMs + 5_000, expectAsEver); // the service reads the database's clock once a second
  await clock.set("+0");
  await watchUntil(issuedAtMs + 7_000, expectAsEver);
  await clock.set(offset);
  await watchUntil(expiresAtMs - 1_000, expectAsEver);

  await watchUntil(expiresAtMs + 1_000, async () => {}); // in between, both results are right
  const expectOver = async () => {
    expect(await read(send, bearer)).toMatchObject({ status: 401, problem: "token-expired" });
    expect((await read(send, revoked)).status).toBe(401);
    expect(await read(send, (await signIn()).access_token)).toMatchObject({ status: 200 });
  };
  await watchUntil(expiresAtMs + 3_000, expectOver);
  await clock.set("+0");
  await watchUntil(expiresAtMs + 5_000, expectOver);
});
