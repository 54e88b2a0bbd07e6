/** What ends the tokens of a user or of a client ends what could still become tokens: codes, device codes, forms, refresh tokens. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  type Browser,
  openConsent,
  type Query,
  redeem,
  registerApp,
  requestOf,
  resultOf,
  signedInBrowser,
} from "../support/authorizations.ts";
import { deviceCodeGrant } from "../support/clientRows.ts";
import { issueCode, issueDeviceCode } from "../support/oauthCodes.ts";
import { holdLocks, password, startTestService } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();

type Form = Record<string, string>;

async function grantOf(clientId: string, userId: string): Promise<string> {
  const rows = await service.sql("SELECT id FROM grants WHERE client_id = $1 AND user_id = $2", [clientId, userId]);
  return String(rows[0]?.["id"]);
}

const request = (clientId: string, form: Form) =>
  service.send("POST", "/oauth/token", { form: { grant_type: "", client_id: clientId, ...form } });

/** A user, and a client that the user allows. */
async function prepare() {
  const { username } = await service.register();
  const [row] = await service.sql("SELECT id FROM users WHERE username = $1", [username]);
  const userId = String(row?.["id"]);
  const app = await registerApp(service, administrator, {
    grant_types: ["authorization_code", "refresh_token", deviceCodeGrant],
  });
  const { client_id: clientId } = app;
  const code = () => issueCode(service, { clientId, userId });
  const refreshToken = async (): Promise<Form> => {
    const { json } = await request(clientId, await code());
    return { grant_type: "refresh_token", refresh_token: json.refresh_token };
  };
  return {
    app,
    clientId,
    userId,
    username,
    ways: { code, deviceCode: () => issueDeviceCode(service, { clientId, userId }), refreshToken },
  };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

async function etagOf(path: string): Promise<Record<string, string>> {
  return { "if-match": (await service.send("GET", path, { basic: administrator })).header("etag") ?? "" };
}

const endings: Record<string, (prepared: Prepared) => Promise<{ status: number }>> = {
  "the withdrawal of the grant": async ({ clientId, userId, username }) =>
    service.send("DELETE", `/api/grants/${await grantOf(clientId, userId)}`, { basic: [username, password] }),
  "the deletion of the client": async ({ clientId }) => {
    const path = `/api/clients/${clientId}`;
    return service.send("DELETE", path, { basic: administrator, headers: await etagOf(path) });
  },
  "the end of all sessions": ({ username }) => service.send("DELETE", "/api/sessions", { basic: [username, password] }),
  "a change of the password": ({ username }) =>
    service.send("PUT", "/api/users/me/password", {
      basic: [username, password],
      json: { current_password: password, new_password: "another sentence of words" },
    }),
  "a block": ({ userId }) =>
    service.send("PATCH", `/api/users/${userId}`, { basic: administrator, json: { blocked: true } }),
  "the deletion of the user": ({ username }) =>
    service.send("DELETE", "/api/users/me", { basic: [username, password] }),
};
const names = Object.keys(endings);
const end = async (name: string, prepared: Prepared) => {
  const { status } = (await endings[name]?.(prepared)) ?? {};
  expect(status, name).toBeLessThan(300);
};

const isAccepted = async (bearer: string) => (await service.send("GET", "/api/sessions", { bearer })).status === 200;
const liveSessions = ({ clientId, userId }: Prepared) =>
  service.sql(
    `SELECT sessions.id FROM sessions JOIN users ON users.id = user_id
     WHERE client_id = $1 AND user_id = $2 AND ended_at IS NULL AND user_epoch = token_epoch AND blocked_at IS NULL`,
    [clientId, userId],
  );

test.each(names)("%s ends codes, device codes and refresh tokens of before", async (name) => {
  const prepared = await prepare();
  const { ways, clientId } = prepared;
  const forms = [await ways.code(), await ways.deviceCode(), await ways.refreshToken()];
  await end(name, prepared);
  for (const form of forms) {
    const { status, json } = await request(clientId, form);
    expect([400, 401], form["grant_type"]).toContain(status);
    expect(json.access_token).toBeUndefined();
  }
  expect(await liveSessions(prepared)).toEqual([]);
});

test.each(names.filter((name) => !/grant|deletion/.test(name)))("%s ends forms of before", async (name) => {
  const prepared = await prepare();
  const browser = await signedInBrowser(service, prepared.username, prepared.app);
  const authorization = await openConsent(browser, requestOf(prepared.app).query);
  await end(name, prepared);
  expect((await browser.decide(authorization, "allow")).header("location")).toMatch(/^sign-in/);
});

describe("a code that a user has allowed in a browser", () => {
  type Allowed = Prepared & { browser: Browser };
  const sessionOf = ({ cookies }: Browser) => cookies.get("__Host-latchkey")?.slice(0, 36);
  const changeClient = async ({ clientId }: Allowed, json: Record<string, unknown>) => {
    const path = `/api/clients/${clientId}`;
    return service.send("PATCH", path, { basic: administrator, json, headers: await etagOf(path) });
  };
  const endingsOfCodes: Record<string, (allowed: Allowed) => Promise<{ status: number }>> = {
    ...endings,
    async "a sign-out in the browser"({ browser }) {
      const page = await browser.get("/oauth/sign-out");
      const [, token = ""] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
      const answer = await browser.post("/oauth/sign-out-confirmation", { token });
      return { status: answer.status - 103 };
    },
    "the end of the browser's session": ({ browser, username }) =>
      service.send("DELETE", `/api/sessions/${sessionOf(browser)}`, { basic: [username, password] }),
    "the end of the browser's session by an administrator": ({ browser, userId }) =>
      service.send("DELETE", `/api/users/${userId}/sessions/${sessionOf(browser)}`, { basic: administrator }),
    "a removal of the redirect URI": (allowed) =>
      changeClient(allowed, { redirect_uris: ["https://app.example/other", "http://127.0.0.1/callback"] }),
  };

  async function allowIn(prepared: Prepared, more: Query = {}, app = prepared.app) {
    const browser = await signedInBrowser(service, prepared.username, prepared.app);
    const { query, verifier } = requestOf(app, more);
    const authorization = await openConsent(browser, query);
    const { code } = resultOf(await browser.decide(authorization, "allow"));
    expect(code).toEqual(expect.any(String));
    return { ...prepared, browser, code, verifier };
  }

  test.each(Object.entries(endingsOfCodes))("is of no use after %s", async (_name, ending) => {
    const allowed = await allowIn(await prepare());
    expect((await ending(allowed)).status).toBeLessThan(300);
    const { status, json } = await redeem(service, allowed.app, allowed);
    expect(json.error).toBe(status === 401 ? "invalid_client" : "invalid_grant");
    expect(await liveSessions(allowed)).toEqual([]);
  });

  test("is redeemed although another session of the user was ended, and the client has another name", async () => {
    const allowed = await allowIn(await prepare());
    const basic: [string, string] = [allowed.username, password];
    const { json } = await service.send("POST", "/api/sessions", { basic });
    expect((await service.send("DELETE", `/api/sessions/${json.id}`, { basic })).status).toBe(204);
    expect((await changeClient(allowed, { name: "Another name" })).status).toBe(200);
    expect((await redeem(service, allowed.app, allowed)).status).toBe(200);
  });

  test.each(["http://127.0.0.1:51004/callback", "http://[::1]:1/callback?x=1", "http://[::1]/callback?x=1"])(
    "is redeemed although it was sent to a port that is not registered: %s",
    async (uri) => {
      const prepared = await prepare();
      const app = await registerApp(service, administrator, {
        redirect_uris: ["http://127.0.0.1/callback", "http://[::1]:4000/callback?x=1"],
      });
      const allowed = await allowIn(prepared, { redirect_uri: uri }, app);
      expect((await redeem(service, app, allowed, { redirect_uri: uri })).status).toBe(200);
    },
  );
});

/** Runs what waits for a row while another transaction has locked it. */
async function behindTheRow(table: "users" | "clients" | "sessions", id: string, starts: (() => Promise<unknown>)[]) {
  const holder = new pg.Client(service.databaseUrl);
  await holder.connect();
  onTestFinished(() => holder.end());
  await holder.query("BEGIN");
  await holder.query(`SELECT FROM ${table} WHERE id = $1 FOR UPDATE`, [id]);
  const running: Promise<unknown>[] = [];
  for (const start of starts) {
    running.push(start());
    const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await service.sql(waiting)).length < running.length);
  }
  await holder.query("COMMIT");
  return Promise.all(running);
}

describe.each(names)("%s", (name) => {
  test.each([
    ["code", "first"],
    ["code", "second"],
    ["deviceCode", "first"],
    ["deviceCode", "second"],
    ["refreshToken", "first"],
    ["refreshToken", "second"],
  ] as const)("leaves nothing behind of a concurrent %s that comes %s", async (way, place) => {
    const prepared = await prepare();
    const { clientId, userId, ways } = prepared;
    const form = await ways[way]();
    const [session] = await liveSessions(prepared);
    const redeem = async () => tokens.push((await request(clientId, form)).json.access_token);
    const tokens: (string | undefined)[] = [];
    const both = [redeem, () => end(name, prepared)];
    const isOfClient = name.includes("client");
    const isRefresh = way === "refreshToken";
    // Endings of a user do not lock sessions: then nothing of both waits for the session.
    const touchesSessions = /grant|client|of the user$/.test(name);
    if (isRefresh && !touchesSessions) await Promise.all(both.map((start) => start()));
    else {
      const row = isRefresh
        ? ["sessions", String(session?.["id"])]
        : isOfClient
          ? ["clients", clientId]
          : ["users", userId];
      const [table, id] = row as ["users" | "clients" | "sessions", string];
      await behindTheRow(table, id, place === "first" ? both : both.toReversed());
    }
    expect(await liveSessions(prepared)).toEqual([]);
    for (const token of tokens) if (token !== undefined) expect(await isAccepted(token)).toBe(false);
  });
});

/** Each takes away what the user has allowed, and not the client or the user. */
const withdrawals: Record<string, (audience: string, clientId: string) => Promise<{ status: number }>> = {
  "the client may no longer use the API": (_, clientId) =>
    service.send("PATCH", `/api/clients/${clientId}`, { basic: administrator, json: { audiences: [] } }),
  "the API was deleted": (audience) =>
    service.send("DELETE", `/api/apis/${encodeURIComponent(audience)}`, { basic: administrator }),
};

describe.each(Object.entries(withdrawals))("after a user has allowed an API, and %s", (_name, withdraw) => {
  test.each([
    ["a code", issueCode],
    ["a device code", issueDeviceCode],
  ])("%s starts no session, and ends none", async (_kind, issue) => {
    const audience = `https://${randomUUID()}.example`;
    const api = { audience, name: "Orders", scopes: [{ name: "orders:read", description: "See orders." }] };
    expect((await service.send("POST", "/api/apis", { basic: administrator, json: api })).status).toBe(201);
    const { client_id: clientId } = await registerApp(service, administrator, {
      grant_types: ["authorization_code", "refresh_token", deviceCodeGrant],
      audiences: [audience],
      scopes: ["orders:read"],
    });
    const { id: userId, username } = await service.register();
    const allowed = { clientId, userId, audience, scopes: ["orders:read"] };
    const [before, after] = [await issue(service, allowed), await issue(service, allowed)];
    expect((await request(clientId, before)).status).toBe(200);
    expect((await withdraw(audience, clientId)).status).toBeLessThan(300);
    expect(await request(clientId, after)).toMatchObject({ status: 400, json: { error: "invalid_grant" } });
    const list = await service.send("GET", "/api/sessions", { basic: [username, password] });
    expect(list.json.sessions).toHaveLength(1);
  });
});

test("a device code is of no use to another client", async () => {
  const [one, other] = [await prepare(), await prepare()];
  const form = await one.ways.deviceCode();
  expect((await request(other.clientId, form)).json.error).toBe("invalid_grant");
  expect((await request(one.clientId, form)).status).toBe(200);
});

test("a grant that is withdrawn during a request that needs no consent because of it allows nothing", async () => {
  const { app, userId, username, ways } = await prepare();
  await ways.code();
  const browser = await signedInBrowser(service, username, app);
  const request = () => browser.authorize(requestOf(app, { scope: "account:read", prompt: "none" }).query);
  expect((await request()).header("location")).toContain("?code=");
  const lock = await holdLocks(service, "SELECT FROM users WHERE id = $1 FOR UPDATE", [userId]);
  const answer = request();
  await lock.untilWaiting(1);
  await lock.query("DELETE FROM grants WHERE user_id = $1", [userId]);
  await lock.commit();
  expect(await answer).toMatchObject({ status: 400, problem: "invalid-request" });
  expect(await service.sql("SELECT FROM grants WHERE user_id = $1", [userId])).toEqual([]);
});
