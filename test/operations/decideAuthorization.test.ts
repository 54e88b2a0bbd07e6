import { expect } from "vitest";
import { createBrowser, parametersOf, type Query, redeem, registerApp, requestOf } from "../support/authorizations.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService({ AUTHORIZATION_PAGE_URL: "https://app.example/authorize" });
const administrator = await service.administrator();
const app = await registerApp(service, administrator);
await service.register("miguel");
const basic: [string, string] = ["miguel", password];

/** Begins a request, and shows it to the user. */
async function begin(more: Query = {}, client = app) {
  const { query, verifier } = requestOf(client, more);
  const answer = await createBrowser(service).authorize(query);
  const path = `/api/authorizations/${parametersOf(answer.header("location") ?? "")["authorization_id"]}`;
  return { path, verifier };
}
async function show(more: Query = {}, client = app) {
  const begun = await begin(more, client);
  expect((await service.send("GET", begun.path, { basic })).status).toBe(200);
  return begun;
}
const allow = { json: { decision: "allow" } };
const deny = { json: { decision: "deny" } };
const { path: target } = await show({ scope: "account:write" });

describeOperation("decideAuthorization", {
  service,
  target,
  request: () => ({ basic, ...allow }),
  isVariable: true,
  cases: {
    200: {
      "to allow, with a code that the client redeems once": async () => {
        const { path, verifier } = await show();
        const answer = await service.send("POST", path, { basic, ...allow });
        expect(answer.json.redirect_uri).toContain(`${redirectUri}?code=`);
        const { code, ...returned } = parametersOf(answer.json.redirect_uri);
        expect(returned).toEqual({ state: "a state", iss: ownAudience });
        const tokens = await redeem(service, app, { code, verifier });
        expect(tokens).toMatchObject({ status: 200 });
        expect((await redeem(service, app, { code, verifier })).json.error).toBe("invalid_grant");
      },
      "to allow, with a code that ends with the session of the token": async () => {
        for (const isEnded of [false, true]) {
          const { json } = await service.send("POST", "/api/sessions", { basic });
          const { path, verifier } = await show();
          const answer = await service.send("POST", path, { bearer: json.access_token, ...allow });
          const { code } = parametersOf(answer.json.redirect_uri);
          if (isEnded) await service.send("DELETE", `/api/sessions/${json.id}`, { basic });
          expect((await redeem(service, app, { code, verifier })).status).toBe(isEnded ? 400 : 200);
        }
      },
      "to deny, with an error": async () => {
        const { path } = await show();
        const answer = await service.send("POST", path, { basic, ...deny });
        expect(parametersOf(answer.json.redirect_uri)).toEqual({
          error: "access_denied",
          error_description: "The user denied the request.",
          state: "a state",
          iss: ownAudience,
        });
      },
      "to the same decision again, until the client has used the code": async () => {
        const { path, verifier } = await show();
        const [first, second] = [
          await service.send("POST", path, { basic, ...allow }),
          await service.send("POST", path, { basic, ...allow }),
        ];
        expect(second.json).toEqual(first.json);
        await redeem(service, app, { code: parametersOf(first.json.redirect_uri)["code"], verifier });
        expect(await service.send("POST", path, { basic, ...allow })).toMatchObject({ status: 400 });
      },
    },
    400: {
      "for the opposite decision": async () => {
        const { path } = await show();
        await service.send("POST", path, { basic, ...deny });
        const answer = await service.send("POST", path, { basic, ...allow });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "for a request that the user has not seen": async () => {
        const { path } = await begin();
        const unseen = await service.send("POST", path, { basic, ...allow });
        const detail = "was decided, is not shown to this user, or its client or grant was changed since";
        expect(unseen).toMatchObject({ status: 400, json: { errors: [{ parameter: "id", detail }] } });
        const ofOther = await show();
        await service.register("susan");
        const answer = await service.send("POST", ofOther.path, { basic: ["susan", password], ...allow });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "for another decision than allow and deny": async () => {
        const { path } = await show();
        expect(await service.send("POST", path, { basic, json: { decision: "yes" } })).toMatchObject({ status: 400 });
      },
    },
    403: {
      "for a token that is limited to fewer scopes than the client asks for": async () => {
        const { json } = await service.send("POST", "/api/sessions", { basic, json: { scope: "account:write" } });
        const { path } = await show({ scope: "account:read account:write" });
        const answer = await service.send("POST", path, { bearer: json.access_token, ...allow });
        expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope: "account:read" } });
        expect((await service.send("POST", path, { bearer: json.access_token, ...deny })).status).toBe(200);
      },
      "for a token that a client has got": async () => {
        const first = await show({ scope: "account:write" });
        const { json } = await service.send("POST", first.path, { basic, ...allow });
        const { code } = parametersOf(json.redirect_uri);
        const tokens = await redeem(service, app, { code, verifier: first.verifier });
        const { path } = await show({ scope: "account:write" });
        for (const method of ["GET", "POST"]) {
          const sent = { bearer: tokens.json.access_token, ...(method === "POST" && allow) };
          expect(await service.send(method, path, sent)).toMatchObject({ status: 403, problem: "login-required" });
        }
      },
      "for a token that is older than the request, with prompt=login": async () => {
        const bearer = await service.token("miguel");
        const { path } = await show({ prompt: "login" });
        const answer = await service.send("POST", path, { bearer, ...allow });
        expect(answer).toMatchObject({ status: 403, problem: "login-required" });
      },
    },
    404: {
      "for an id that is garbage": async () => {
        const answer = await service.send("POST", "/api/authorizations/garbage", { basic, ...allow });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
      "for a request of a browser at the pages of this service": async () => {
        const other = await startTestService({}, service.databaseUrl);
        const answer = await createBrowser(other).authorize(requestOf(app).query);
        const { authorization } = parametersOf(answer.header("location") ?? "");
        expect(await service.send("POST", `/api/authorizations/${authorization}`, { basic, ...allow })).toMatchObject({
          status: 404,
        });
        await other.close();
      },
    },
  },
});
