/** What may happen once in OAuth happens once, on whichever instances the requests arrive at the same time. */
import { expect, test } from "vitest";
import {
  createBrowser,
  openConsent,
  parametersOf,
  redeem,
  registerApp,
  requestOf,
  resultOf,
  signedInBrowser,
} from "../support/authorizations.ts";
import { type Received, untilRejected } from "../support/client.ts";
import { deviceCodeGrant } from "../support/clientRows.ts";
import { openBrowser, pageOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { issueCode, issueDeviceCode } from "../support/oauthCodes.ts";
import { startTestService, type TestService } from "../support/service.ts";

const rounds = 200;
// So that no session ends because there are too many.
const settings = { SESSIONS_PER_USER: "1000" };
const one = await startTestService(settings);
const other = await startTestService(settings, one.databaseUrl);
const administrator = await one.administrator();
const user = await one.register("miguel");
const app = await registerApp(one, administrator, {
  grant_types: ["authorization_code", "refresh_token", deviceCodeGrant],
});
const { client_id: clientId } = app;
const owned = { clientId, userId: user.id };

type Decision = "allow" | "deny";

/** Sends requests to both instances at once. */
const atOnce = (send: (service: TestService) => Promise<Received>[]): Promise<Received[]> =>
  Promise.all([one, other].flatMap(send));
/** Makes both decisions at both instances at once. */
const decideAtOnce = (decide: (service: TestService, decision: Decision) => Promise<Received>) =>
  atOnce((service) => [decide(service, "allow"), decide(service, "deny")]);
const ask = (form: Record<string, string>, service = one) =>
  service.send("POST", "/oauth/token", { form: { grant_type: "", ...form, client_id: clientId } });
const refreshWith = (refresh_token: string, service = one) =>
  ask({ grant_type: "refresh_token", refresh_token }, service);
const isAccepted = async (bearer: string, service = one) =>
  (await service.send("GET", "/api/sessions?limit=1", { bearer })).status === 200;
const statusesOf = (answers: Received[]) => answers.map(({ status }) => status).sort();
/** The events of requests. Those of changes are stored with the change. */
const eventsOf = async (answers: Received[]) => {
  const ids = answers.map((answer) => answer.header("x-request-id"));
  const rows = await one.sql("SELECT event FROM audit_events WHERE request_id::text = ANY($1)", [ids]);
  return rows.map(({ event }) => event);
};
/** The same browser at both instances. */
const browserAt = (cookies: Map<string, string>, service: TestService) => {
  const browser = createBrowser(service);
  for (const [name, value] of cookies) browser.cookies.set(name, value);
  return browser;
};

test("a code has one winner, whose session ends because the code was used again", async () => {
  for (let round = 0; round < rounds; round += 1) {
    const code = await issueCode(one, owned);
    const answers = await atOnce((service) => [ask(code, service), ask(code, service)]);
    expect(statusesOf(answers)).toEqual([200, 400, 400, 400]);
    expect(await eventsOf(answers)).toContain("authorization-code-reused");
    const { refresh_token } = answers.find(({ status }) => status === 200)?.json ?? {};
    expect((await refreshWith(refresh_token, other)).json.error).toBe("invalid_grant");
  }
  const counts = await one.sql("SELECT count(*)::integer, count(ended_at)::integer AS ended FROM sessions");
  expect(counts).toEqual([{ count: rounds, ended: rounds }]);
});

test("a device code has one winner, whose session ends when the code is used again later", async () => {
  for (let round = 0; round < rounds; round += 1) {
    const code = await issueDeviceCode(one, owned);
    const polls = await atOnce((service) => [ask(code, service), ask(code, service), ask(code, service)]);
    expect(statusesOf(polls)).toEqual([200, 400, 400, 400, 400, 400]);
    const tokens = polls.find(({ status }) => status === 200)?.json;
    const { json } = await refreshWith(tokens.refresh_token, other);
    await one.sql("UPDATE device_codes SET redeemed_at = redeemed_at - interval '31 seconds'");
    const later = await atOnce((service) => [ask(code, service)]);
    expect(statusesOf(later)).toEqual([400, 400]);
    expect((await eventsOf(later)).filter((event) => event === "device-code-reused")).toHaveLength(1);
    expect((await refreshWith(json.refresh_token)).json.error).toBe("invalid_grant");
  }
});

test("a request of a device is decided once", async () => {
  const browser = openBrowser(one);
  await browser.signIn(await browser.go("GET", "/oauth/device"), "miguel");
  const { page } = pageOf(await browser.go("GET", "/oauth/device"));
  const [, token = ""] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
  for (let round = 0; round < rounds; round += 1) {
    const form = { client_id: clientId, scope: "account:read" };
    const { json } = await one.send("POST", "/oauth/device-authorization", { form });
    const decisions: Decision[] = [];
    const answers = await decideAtOnce(async (service, decision) => {
      const sent = { token, user_code: json.user_code, scope: "account:read", decision };
      const answer = await browserAt(browser.cookies, service).post("/oauth/device", sent);
      if (answer.status === 200) decisions.push(decision);
      return answer;
    });
    expect(statusesOf(answers)).toEqual([200, 400, 400, 400]);
    expect((await eventsOf(answers)).filter((event) => event === "device-decided")).toHaveLength(1);
    const polled = await ask({ grant_type: deviceCodeGrant, device_code: json.device_code }, other);
    expect(polled.json.error).toBe(decisions[0] === "deny" ? "access_denied" : undefined);
  }
});

/** Of both decisions, one was made. Who sent it twice got the same response twice. */
async function expectOneDecision(answers: Received[], locationOf: (answer: Received) => string): Promise<string> {
  const made = answers.filter(({ status }) => status < 400);
  expect(made).toHaveLength(2);
  expect(statusesOf(answers).slice(2)).toEqual([400, 400]);
  const locations = new Set(made.map(locationOf));
  expect(locations.size).toBe(1);
  const [location = ""] = locations;
  const { code, error } = parametersOf(location);
  expect([code === undefined, error]).toEqual(code === undefined ? [true, "access_denied"] : [false, undefined]);
  const decided = code === undefined ? "authorization-denied" : "authorization-allowed";
  const events = await eventsOf(answers);
  expect(events.filter((event) => String(event).startsWith("authorization-"))).toEqual([decided]);
  return code ?? "";
}

test("a request of a client is decided once at the page", async () => {
  const browser = await signedInBrowser(one, "miguel", app);
  for (let round = 0; round < rounds; round += 1) {
    const { query, verifier } = requestOf(app, { prompt: "consent" });
    const authorization = await openConsent(browser, query);
    const answers = await decideAtOnce((service, decision) =>
      browserAt(browser.cookies, service).decide(authorization, decision),
    );
    const code = await expectOneDecision(answers, (answer) => answer.header("location") ?? "");
    expect((await redeem(other, app, { code, verifier })).status).toBe(code === "" ? 400 : 200);
  }
});

test("a request of a client is decided once by the API", async () => {
  const own = { ...settings, AUTHORIZATION_PAGE_URL: "https://app.example/authorize" };
  const [here, there] = [await startTestService(own, one.databaseUrl), await startTestService(own, one.databaseUrl)];
  const bearer = await here.token("miguel");
  for (let round = 0; round < rounds; round += 1) {
    const { query, verifier } = requestOf(app);
    const { authorization_id } = resultOf(await createBrowser(here).authorize(query));
    const path = `/api/authorizations/${authorization_id}`;
    expect((await there.send("GET", path, { bearer })).status).toBe(200);
    const answers = await Promise.all(
      [here, there].flatMap((service) =>
        ["allow", "deny"].map((decision) => service.send("POST", path, { bearer, json: { decision } })),
      ),
    );
    const code = await expectOneDecision(answers, ({ json }) => json.redirect_uri);
    expect((await redeem(there, app, { code, verifier })).status).toBe(code === "" ? 400 : 200);
  }
  await here.close();
  await there.close();
});

test("a refresh token of a client has one successor, and ends the session when it is used again later", async () => {
  const strict = await startTestService({ REFRESH_GRACE_SECONDS: "0" }, one.databaseUrl);
  let { access_token, refresh_token } = (await ask(await issueCode(one, owned))).json;
  let used = "";
  for (let round = 0; round < rounds; round += 1) {
    const answers = await atOnce((service) => Array.from({ length: 4 }, () => refreshWith(refresh_token, service)));
    expect(new Set(answers.map(({ status }) => status)), `round ${round}`).toEqual(new Set([200]));
    const successors = new Set<string>(answers.map(({ json }) => json.refresh_token));
    expect(successors.size).toBe(1);
    used = refresh_token;
    [refresh_token = ""] = successors;
    access_token = answers[0]?.json.access_token;
  }
  const generation = "SELECT generation FROM sessions WHERE id = $1";
  expect(await one.sql(generation, [refresh_token.slice(0, 36)])).toEqual([{ generation: rounds }]);
  expect(await isAccepted(access_token, strict)).toBe(true);
  expect((await refreshWith(used, strict)).json.error).toBe("invalid_grant");
  expect(await isAccepted(access_token, strict)).toBe(false);
  for (const service of [one, other]) {
    expect((await refreshWith(refresh_token, service)).json.error).toBe("invalid_grant");
  }
  await strict.close();
});

test("a client has two secrets at most, and a deleted one is refused here at once and there within a second", async () => {
  const bearer = await one.token(administrator[0]);
  const machine = await registerClient(one, administrator);
  const target = `/api/clients/${machine.client_id}/secrets`;
  const tokenFor = async (client_secret: string, service: TestService) => {
    const form = { grant_type: "client_credentials", client_id: machine.client_id, client_secret };
    return (await service.send("POST", "/oauth/token", { form })).status;
  };
  let current = machine.client_secret;
  for (let round = 0; round < rounds; round += 1) {
    const added = await atOnce((service) => [
      service.send("POST", target, { bearer }),
      service.send("POST", target, { bearer }),
    ]);
    expect(statusesOf(added)).toEqual([201, 409, 409, 409]);
    const next = added.find(({ status }) => status === 201)?.json;
    const { json } = await one.send("GET", `/api/clients/${machine.client_id}`, { bearer });
    expect(json.secrets).toHaveLength(2);
    for (const service of [one, other]) while ((await tokenFor(next.client_secret, service)) !== 200);
    // The newest comes first.
    const deleted = await atOnce((service) => [service.send("DELETE", `${target}/${json.secrets[1].id}`, { bearer })]);
    const began = performance.now();
    expect(statusesOf(deleted)).toEqual([204, 404]);
    const [here, there] = deleted[0]?.status === 204 ? [one, other] : [other, one];
    expect(await tokenFor(current, here)).toBe(401);
    await untilRejected(async () => ({ status: await tokenFor(current, there) }), began);
    expect(await tokenFor(next.client_secret, there)).toBe(200);
    current = next.client_secret;
  }
});
