import { expect } from "vitest";
import { createBrowser, parametersOf, type Query, registerApp, requestOf } from "../support/authorizations.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { ownAudience } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const page = "https://app.example/authorize?from=latchkey";
const service = await startTestService({ AUTHORIZATION_PAGE_URL: page });
const administrator = await service.administrator();
const app = await registerApp(service, administrator, { name: "Orders", client_uri: "https://app.example" });
await service.register("miguel");
const basic: [string, string] = ["miguel", password];

/** Begins a request. @returns the path of the authorization */
async function begin(more: Query = {}): Promise<string> {
  const answer = await createBrowser(service).authorize(requestOf(app, more).query);
  const location = answer.header("location") ?? "";
  expect(location).toContain(`${page}&authorization_id=`);
  expect(answer.headers["set-cookie"]).toBeUndefined();
  return `/api/authorizations/${parametersOf(location)["authorization_id"]}`;
}

const target = await begin();

describeOperation("getAuthorization", {
  service,
  target,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the client and what it asks for": async () => {
        const answer = await service.send("GET", await begin({ login_hint: "miguel" }), { basic });
        expect(answer).toMatchObject({ status: 200 });
        expect(answer.json).toEqual({
          client: {
            client_id: app.client_id,
            name: "Orders",
            logo_uri: null,
            client_uri: "https://app.example",
            policy_uri: null,
            tos_uri: null,
          },
          audience: ownAudience,
          scopes: [
            { name: "openid", description: "See who you are." },
            { name: "account:read", description: "See your own sessions, API keys and grants." },
          ],
          redirect_target: "https://app.example",
          login_hint: "miguel",
          consent_required: true,
          expires_at: expect.any(String),
        });
        expect(Date.parse(answer.json.expires_at) - Date.now()).toBeGreaterThan(500_000);
      },
      "without a consent for a first-party client": async () => {
        const own = await registerApp(service, administrator, { first_party: true, public: false });
        const asked = await createBrowser(service).authorize(requestOf(own).query);
        const id = parametersOf(asked.header("location") ?? "")["authorization_id"];
        const answer = await service.send("GET", `/api/authorizations/${id}`, { basic });
        expect(answer.json).toMatchObject({ consent_required: false });
      },
      "without the scopes that the user does not have": async () => {
        const other = await registerApp(service, administrator, { scopes: ["users:read", "account:read"] });
        const asked = await createBrowser(service).authorize(requestOf(other, { scope: undefined }).query);
        const id = parametersOf(asked.header("location") ?? "")["authorization_id"];
        const answer = await service.send("GET", `/api/authorizations/${id}`, { basic });
        expect(answer.json.scopes).toMatchObject([{ name: "account:read" }]);
      },
      "for a recent sign-in, if the client requires one": async () => {
        const asked = await begin({ prompt: "login" });
        expect((await service.send("GET", asked, { basic })).status).toBe(200);
        const bearer = await service.token("miguel");
        expect((await service.send("GET", await begin({ max_age: "60" }), { bearer })).status).toBe(200);
      },
    },
    403: {
      "for a token that is older than the request, with prompt=login or max_age": async () => {
        const bearer = await service.token("miguel");
        for (const more of [{ prompt: "login" }, { prompt: "select_account" }, { max_age: "0" }]) {
          const answer = await service.send("GET", await begin(more), { bearer });
          expect(answer, JSON.stringify(more)).toMatchObject({ status: 403, problem: "login-required" });
        }
      },
      "for a refreshed token of an old session, with max_age": async () => {
        const { json } = await service.send("POST", "/api/sessions", { basic });
        const earlier = "now() - interval '1 hour'";
        await service.sql(`UPDATE sessions SET created_at = ${earlier}, authenticated_at = ${earlier} WHERE id = $1`, [
          json.id,
        ]);
        const answer = await service.send("GET", await begin({ max_age: "600" }), { bearer: json.access_token });
        expect(answer).toMatchObject({ status: 403, problem: "login-required" });
        const patient = await service.send("GET", await begin({ max_age: "7200" }), { bearer: json.access_token });
        expect(patient.status).toBe(200);
      },
    },
    404: {
      "for another user than the first": async () => {
        const path = await begin();
        await service.register("susan");
        expect((await service.send("GET", path, { basic })).status).toBe(200);
        const answer = await service.send("GET", path, { basic: ["susan", password] });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        expect((await service.send("GET", path, { basic })).status).toBe(200);
      },
      ...each(
        "for an id that is %s",
        [
          ["garbage", "garbage"],
          [
            "altered",
            target.slice("/api/authorizations/".length).replace(/.(?=.{9}$)/, (one) => (one === "A" ? "B" : "A")),
          ],
          ["long", "A".repeat(6_000)],
        ],
        async (_label, id) => {
          const answer = await service.send("GET", `/api/authorizations/${id}`, { basic });
          expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        },
      ),
      "after ten minutes": async () => {
        const path = await begin();
        service.advance(601);
        const answer = await service.send("GET", path, { basic });
        service.advance(-601);
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    400: {
      "for an id of more than 6,000 characters": async () => {
        const answer = await service.send("GET", `/api/authorizations/${"A".repeat(6_001)}`, { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "for a client that was changed meanwhile, so that the redirect URI is not right any more": async () => {
        const other = await registerApp(service, administrator);
        const asked = await createBrowser(service).authorize(requestOf(other).query);
        const id = parametersOf(asked.header("location") ?? "")["authorization_id"];
        const change = { redirect_uris: ["https://app.example/other"] };
        const path = `/api/clients/${other.client_id}`;
        const etag = (await service.send("GET", path, { basic: administrator })).header("etag") ?? "";
        const headers = { "if-match": etag };
        expect((await service.send("PATCH", path, { basic: administrator, json: change, headers })).status).toBe(200);
        const answer = await service.send("GET", `/api/authorizations/${id}`, { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.json.errors[0].detail).toContain("changed");
      },
    },
  },
});
