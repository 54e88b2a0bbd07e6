import { expect } from "vitest";
import {
  createBrowser,
  openConsent,
  type Query,
  registerApp,
  requestOf,
  resultOf,
  signedInBrowser,
  targetOf,
} from "../support/authorizations.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();
const app = await registerApp(service, administrator);
const firstParty = await registerApp(service, administrator, { name: "Ours", first_party: true });
await service.register("miguel");
const browser = await signedInBrowser(service, "miguel", app);
const { query } = requestOf(app);

/** What a redirect to the client has besides its result. */
const returned = { state: "a state", iss: ownAudience };

describeOperation("authorize", {
  service,
  target: targetOf(query),
  // The clients are in memory, and the session of a browser is not.
  request: () => ({ headers: { cookie: [...browser.cookies].map((pair) => pair.join("=")).join("; ") } }),
  cases: {
    303: {
      "to the sign-in page for a browser without a session, which gets a cookie": async () => {
        const answer = await createBrowser(service).authorize(query);
        expect(answer).toMatchObject({ status: 303, text: "" });
        expect(answer.header("location")).toMatch(/^\/oauth\/sign-in\?authorization=[\w.-]+$/);
        expect(answer.headers["set-cookie"]).toEqual([
          expect.stringMatching(
            /^__Host-latchkey-browser=[\w-]{43}; Max-Age=3600; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
          ),
        ]);
      },
      "to the consent page for a user who is signed in": async () => {
        const answer = await browser.authorize(query);
        expect(answer.header("location")).toMatch(/^\/oauth\/consent\?authorization=[\w.-]+$/);
      },
      "to the client with a code, if the user has allowed it before": async () => {
        const again = requestOf(app, { scope: "account:write" });
        const allowed = await browser.decide(await openConsent(browser, again.query), "allow");
        expect(resultOf(allowed)).toEqual({ ...returned, code: expect.stringMatching(/^[\w-]{43}$/) });
        const answer = await browser.authorize(again.query);
        expect(answer.header("location")).toContain(`${redirectUri}?code=`);
        expect(resultOf(answer)).toEqual({ ...returned, code: expect.stringMatching(/^[\w-]{43}$/) });
        expect(answer.headers["set-cookie"]).toBeUndefined();
      },
      "to the client with a code, if it is first-party": async () => {
        expect(resultOf(await browser.authorize(requestOf(firstParty).query))).toHaveProperty("code");
      },
      "although a parameter is unknown": async () => {
        const answer = await createBrowser(service).authorize({
          ...query,
          surprise: "1",
          "[x]": "1",
          ui_locales: "de",
        });
        expect(answer.header("location")).toMatch(/^\/oauth\/sign-in/);
      },
      ...each<[string, string, Query]>(
        "to the client with an error for %s",
        [
          ["a missing response type", "invalid_request", { response_type: undefined }],
          ["a missing challenge", "invalid_request", { code_challenge: undefined }],
          ["another response type", "unsupported_response_type", { response_type: "token" }],
          ["an unknown scope", "invalid_scope", { scope: "orders:read" }],
          ["two spaces in scope", "invalid_scope", { scope: "openid  profile" }],
          ["an unknown resource", "invalid_target", { resource: "https://orders.example" }],
          ["a request object", "request_not_supported", { request: "e30" }],
          ["the response mode form_post", "invalid_request", { response_mode: "form_post" }],
          ["the response mode fragment", "invalid_request", { response_mode: "fragment" }],
          ["the response mode web_message", "invalid_request", { response_mode: "web_message" }],
          ["a hint that is no ID token", "invalid_request", { id_token_hint: "x.y.z" }],
          ["prompt=none without a session", "login_required", { prompt: "none" }],
        ],
        async (_label, error, more) => {
          const answer = await createBrowser(service).authorize({ ...query, ...more });
          expect(answer.header("location")).toContain(`${redirectUri}?`);
          expect(resultOf(answer)).toEqual({ ...returned, error, error_description: expect.any(String) });
        },
      ),
      "to the client with an error for prompt=none, if the user has to be asked": async () => {
        const answer = await browser.authorize({ ...query, scope: "profile", prompt: "none" });
        expect(resultOf(answer)).toMatchObject({ ...returned, error: "consent_required" });
      },
    },
    400: {
      ...each<[string, Query, string]>(
        "on a page, without a redirect, for %s",
        [
          ["a missing client", { client_id: undefined }, "client_id is required"],
          ["an unknown client", { client_id: "lkc_0" }, "client_id is not a registered client"],
          [
            "a redirect URI that is not registered",
            { redirect_uri: "https://evil.example" },
            "redirect_uri is not registered",
          ],
        ],
        async (_label, more, text) => {
          const answer = await createBrowser(service).authorize({ ...query, ...more });
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.text).toContain(text);
          expect(answer.header("location")).toBeUndefined();
          expect(answer.header("content-security-policy")).toContain("frame-ancestors 'none'");
        },
      ),
      "on a page for a query that is not UTF-8": async () => {
        const answer = await service.send("GET", `${targetOf(query)}&x=%ff`);
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
  },
});
