/** The device flow (RFC 8628), from the device's first request to its tokens. */
import { decodeJwt } from "jose";
import { describe, expect, test } from "vitest";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { openBrowser, pageOf } from "../support/cookieBrowser.ts";
import { holdLocks, startTestService, type TestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const client = await insertClient(service, { name: "Television", authentication: "none" });
const other = await insertClient(service, { authentication: "none" });

type Codes = { device_code: string; user_code: string };
const start = async (id = client.id, scope = "openid account:read", at: TestService = service): Promise<Codes> =>
  (await at.send("POST", "/oauth/device-authorization", { form: { client_id: id, scope } })).json;
const poll = (device_code: string, id = client.id) =>
  service.send("POST", "/oauth/token", { form: { grant_type: deviceCodeGrant, device_code, client_id: id } });

async function signedInBrowser(username = "miguel", at: TestService = service) {
  const browser = openBrowser(at);
  await browser.signIn(await browser.go("GET", "/oauth/device"), username);
  return browser;
}
const miguelsBrowser = await signedInBrowser();

/** Enters a code, and presses a button of the page that follows. */
async function decide(user_code: string, decision: "allow" | "deny", browser = miguelsBrowser) {
  const confirm = await browser.submit(await browser.go("GET", "/oauth/device"), { user_code });
  return pageOf(await browser.submit(confirm, { decision })).page;
}
/** Moves the last poll of all codes back, so that the next one is not early. */
const passInterval = () => service.sql("UPDATE device_codes SET last_polled_at = last_polled_at - interval '1 hour'");

describe("the device", () => {
  test("waits for the user, and gets tokens for what the user has allowed, once", async () => {
    const { device_code, user_code } = await start();
    expect(await poll(device_code)).toMatchObject({ status: 400, json: { error: "authorization_pending" } });
    expect((await decide(user_code, "allow")).text).toContain("The device is connected");
    const { status, json } = await poll(device_code);
    expect(status).toBe(200);
    expect(json).toMatchObject({
      token_type: "Bearer",
      scope: "openid account:read",
      refresh_token: expect.any(String),
    });
    expect(decodeJwt(json.access_token)).toMatchObject({ sub: miguel.id, client_id: client.id, scope: json.scope });
    expect(decodeJwt(json.id_token)).toMatchObject({ sub: miguel.id, aud: client.id });
    expect((await service.send("GET", "/api/sessions", { bearer: json.access_token })).status).toBe(200);
    expect(await poll(device_code)).toMatchObject({ status: 400, json: { error: "invalid_grant" } });
  });

  test("is told to slow down if it polls too early, 5 seconds longer each time and for good", async () => {
    const { device_code } = await start();
    const interval = async () =>
      (await service.sql("SELECT interval_seconds AS i FROM device_codes ORDER BY created_at DESC LIMIT 1"))[0]?.["i"];
    expect((await poll(device_code)).json.error).toBe("authorization_pending");
    expect((await poll(device_code)).json.error).toBe("slow_down");
    expect((await poll(device_code)).json.error).toBe("slow_down");
    expect(await interval()).toBe(15);
    await service.sql("UPDATE device_codes SET last_polled_at = now() - interval '10 seconds'");
    expect((await poll(device_code)).json.error).toBe("slow_down");
    await service.sql("UPDATE device_codes SET last_polled_at = now() - interval '20 seconds'");
    expect((await poll(device_code)).json.error).toBe("authorization_pending");
    expect(await interval()).toBe(20);
  });

  test("is told that the user has denied, or that the code has expired", async () => {
    const { device_code, user_code } = await start();
    expect((await decide(user_code, "deny")).text).toContain("was not connected");
    expect((await poll(device_code)).json.error).toBe("access_denied");
    const late = await start();
    await service.sql("UPDATE device_codes SET expires_at = now() WHERE decision IS NULL");
    expect((await poll(late.device_code)).json.error).toBe("expired_token");
    expect((await decideWrongly(late.user_code)).text).toContain("wrong or has expired");
  });

  test("gets nothing after the code has expired, although the user has allowed it", async () => {
    const { device_code, user_code } = await start();
    await decide(user_code, "allow");
    await service.sql("UPDATE device_codes SET expires_at = now() WHERE redeemed_at IS NULL");
    expect((await poll(device_code)).json.error).toBe("expired_token");
  });

  test("gets nothing for the code of another client, which keeps it", async () => {
    const { device_code, user_code } = await start();
    expect(await poll(device_code, other.id)).toMatchObject({ status: 400, json: { error: "invalid_grant" } });
    await decide(user_code, "allow");
    for (const code of [device_code, "x".repeat(43), user_code]) {
      expect(await poll(code, other.id)).toMatchObject({ status: 400, json: { error: "invalid_grant" } });
    }
    expect((await poll(device_code)).status).toBe(200);
  });

  test("gets nothing for another API than the user has allowed, and keeps its code", async () => {
    const { device_code, user_code } = await start();
    await decide(user_code, "allow");
    const form = { grant_type: deviceCodeGrant, device_code, client_id: client.id, resource: "https://evil.example" };
    expect((await service.send("POST", "/oauth/token", { form })).json.error).toBe("invalid_target");
    expect((await poll(device_code)).status).toBe(200);
  });

  test("gets nothing if the user has signed out everywhere since", async () => {
    const { username } = await service.register();
    const { device_code, user_code } = await start();
    await decide(user_code, "allow", await signedInBrowser(username));
    await service.sql("UPDATE users SET token_epoch = token_epoch + 1 WHERE username = $1", [username]);
    expect((await poll(device_code)).json.error).toBe("invalid_grant");
  });

  test("gets one session from 50 polls at once", async () => {
    const { device_code, user_code } = await start();
    await decide(user_code, "allow");
    // The lock lets several polls find the code allowed before one of them redeems it.
    const lock = await holdLocks(service, "SELECT FROM users WHERE id = $1 FOR UPDATE", [miguel.id]);
    const first = Array.from({ length: 5 }, () => poll(device_code));
    await lock.untilWaiting(5);
    const others = Array.from({ length: 45 }, () => poll(device_code));
    await lock.commit();
    const answers = await Promise.all([...first, ...others]);
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    expect(answers.filter(({ json }) => json.error === "invalid_grant")).toHaveLength(49);
    const bearer: string = winners[0]?.json.access_token;
    expect((await service.send("GET", "/api/sessions", { bearer })).status).toBe(200);
  });

  test("loses its session if the code is used again long after that", async () => {
    const { device_code, user_code } = await start();
    await decide(user_code, "allow");
    const { access_token: bearer, refresh_token } = (await poll(device_code)).json;
    await service.sql(
      "UPDATE device_codes SET redeemed_at = now() - interval '31 seconds' WHERE redeemed_at IS NOT NULL",
    );
    expect((await poll(device_code)).json.error).toBe("invalid_grant");
    expect((await service.send("GET", "/api/sessions", { bearer })).problem).toBe("token-revoked");
    const form = { grant_type: "refresh_token", refresh_token, client_id: client.id };
    expect((await service.send("POST", "/oauth/token", { form })).json.error).toBe("invalid_grant");
    const [event] = await service.sql("SELECT subject_id FROM audit_events WHERE event = 'device-code-reused'");
    expect(event).toEqual({ subject_id: miguel.id });
  });

  test("is listed among the sessions and grants of the user, who can end both", async () => {
    const { device_code, user_code } = await start();
    await decide(user_code, "allow");
    const { access_token: bearer } = (await poll(device_code)).json;
    const [session] = (await service.send("GET", "/api/sessions", { bearer })).json.sessions;
    expect(session).toMatchObject({ client_id: client.id, current: true });
    const grants = await service.sql("SELECT scopes FROM grants WHERE user_id = $1 AND client_id = $2", [
      miguel.id,
      client.id,
    ]);
    expect(grants).toEqual([{ scopes: expect.arrayContaining(["openid", "account:read"]) }]);
  });
});

/** Enters a code that is not accepted. */
const decideWrongly = async (user_code: string, browser = miguelsBrowser) =>
  pageOf(await browser.submit(await browser.go("GET", "/oauth/device"), { user_code })).page;

describe("the user", () => {
  test("sees the client, the scopes and the code, and that the request was started elsewhere", async () => {
    const { user_code } = await start();
    const typed = ` ${user_code.toLowerCase().replace("-", " ")} `;
    const form = await miguelsBrowser.go("GET", "/oauth/device");
    const { page } = pageOf(await miguelsBrowser.submit(form, { user_code: typed }));
    expect(page.status).toBe(200);
    for (const text of ["Television", user_code, "See your own sessions", "Continue only if you started this"]) {
      expect(page.text).toContain(text);
    }
  });

  test("is asked to sign in first, and continues with the code of the link", async () => {
    const { user_code, device_code } = await start();
    const browser = openBrowser(service);
    const signIn = await browser.go("GET", `/oauth/device?user_code=${user_code}`);
    expect(pageOf(signIn).target).toContain("/oauth/sign-in");
    const filledIn = await browser.signIn(signIn, "miguel");
    expect(pageOf(filledIn).page.text).toContain(`value="${user_code}"`);
    expect((await poll(device_code)).json.error).toBe("authorization_pending");
    const confirm = await browser.submit(filledIn, { user_code });
    await passInterval();
    expect((await poll(device_code)).json.error).toBe("authorization_pending");
    await browser.submit(confirm, { decision: "allow" });
    expect((await poll(device_code)).status).toBe(200);
  });

  test("allows what the page has shown, and nothing that a role adds later", async () => {
    const { id, username } = await service.register();
    const asking = await insertClient(service, { authentication: "none", scopes: ["account:read", "users:read"] });
    const { device_code, user_code } = await start(asking.id, "account:read users:read");
    const browser = await signedInBrowser(username);
    const confirm = await browser.submit(await browser.go("GET", "/oauth/device"), { user_code });
    const json = { roles: ["administrator"] };
    const promoted = await service.send("PATCH", `/api/users/${id}`, { basic: await service.administrator(), json });
    expect(promoted.status).toBe(200);
    await browser.submit(confirm, { decision: "allow" });
    const { refresh_token } = (await poll(device_code, asking.id)).json;
    const form = { grant_type: "refresh_token", client_id: asking.id, refresh_token };
    expect((await service.send("POST", "/oauth/token", { form })).json.scope).toBe("account:read");
    const [grant] = await service.sql("SELECT scopes FROM grants WHERE client_id = $1", [asking.id]);
    expect(grant).toEqual({ scopes: ["account:read"] });
  });

  test("decides once: another user finds the code used", async () => {
    const { user_code, device_code } = await start();
    const { username } = await service.register();
    const others = await signedInBrowser(username);
    const confirm = await others.submit(await others.go("GET", "/oauth/device"), { user_code });
    await decide(user_code, "deny");
    expect(pageOf(await others.submit(confirm, { decision: "allow" })).page.status).toBe(400);
    expect((await poll(device_code)).json.error).toBe("access_denied");
  });

  test("is one of 20 who decide at once", async () => {
    const { user_code, device_code } = await start();
    const form = await miguelsBrowser.go("GET", "/oauth/device");
    const confirm = await miguelsBrowser.submit(form, { user_code });
    // The lock lets several of them find the request pending before one of them decides.
    const lock = await holdLocks(service, "SELECT FROM users WHERE id = $1 FOR UPDATE", [miguel.id]);
    const sent = Array.from({ length: 20 }, (_, index) =>
      miguelsBrowser.submit(confirm, { decision: index % 2 === 0 ? "allow" : "deny" }),
    );
    await lock.untilWaiting(4);
    await lock.commit();
    const answers = await Promise.all(sent);
    expect(answers.filter((answer) => pageOf(answer).page.status === 200)).toHaveLength(1);
    const winner = answers.findIndex((answer) => pageOf(answer).page.status === 200);
    const { status, json } = await poll(device_code);
    expect(winner % 2 === 0 ? status : json.error).toBe(winner % 2 === 0 ? 200 : "access_denied");
  });

  test("cannot be made to decide by a form that their browser has not got", async () => {
    const { user_code, device_code } = await start();
    for (const token of ["A".repeat(43), undefined]) {
      const form = { user_code, decision: "allow", ...(token && { token }) };
      expect((await miguelsBrowser.request("POST", "/oauth/device", form)).status).toBe(400);
    }
    expect((await poll(device_code)).json.error).toBe("authorization_pending");
  });

  test("who has signed out in another tab is asked to sign in, and decides nothing", async () => {
    const { user_code, device_code } = await start();
    const browser = await signedInBrowser();
    const confirm = await browser.submit(await browser.go("GET", "/oauth/device"), { user_code });
    await browser.submit(await browser.go("GET", "/oauth/sign-out"), {});
    expect(pageOf(await browser.submit(confirm, { decision: "allow" })).target).toContain("/oauth/sign-in");
    expect((await poll(device_code)).json.error).toBe("authorization_pending");
  });
});

describe("guesses", () => {
  test("are limited for each user and each network, and right codes do not count", async () => {
    const limited = await startTestService({ THROTTLE_ACCOUNT: "2", THROTTLE_ADDRESS: "10000" });
    await limited.register("miguel");
    await limited.register("susan");
    const { id } = await insertClient(limited, { authentication: "none" });
    limited.advance(toNextWindowSeconds());
    const browser = await signedInBrowser("miguel", limited);
    const enter = async (user_code: string, by = browser) =>
      pageOf(await by.submit(await by.go("GET", "/oauth/device"), { user_code })).page;
    for (let count = 0; count < 3; count += 1) {
      expect((await enter((await start(id, "openid", limited)).user_code)).status).toBe(200);
    }
    expect((await enter("BBBB-BBBB")).status).toBe(400);
    expect((await enter("nothing")).status).toBe(400);
    const answer = await enter((await start(id, "openid", limited)).user_code);
    expect(answer.status).toBe(429);
    expect(answer.header("ratelimit-policy")).toBe('"user-codes";q=2;w=900');
    const susans = await signedInBrowser("susan", limited);
    expect((await enter((await start(id, "openid", limited)).user_code, susans)).status).toBe(200);
    await limited.close();
  });
});
