/** The guides' commands get tokens with curl, and curl redeems a code. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { openConsent, parametersOf, registerApp, requestOf, signedInBrowser } from "../support/authorizations.ts";
import { openBrowser } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { redirectUri } from "../support/oauthCodes.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const miguel = await service.register("miguel");

/** The commands of a guide that begin with curl. */
const commandsOf = (guide: string): string[] =>
  readFileSync(`docs/${guide}.md`, "utf8").match(/^curl (?:.*\\\n)*.*$/gm) ?? [];

/** Runs a command line as the shell does. @returns the JSON that it printed */
async function run(command: string, env: Record<string, string>) {
  const line = command.replaceAll(sampleOrigin, service.url);
  const { stdout } = await promisify(execFile)("sh", ["-c", line], { env: { PATH: process.env["PATH"], ...env } });
  return JSON.parse(stdout);
}

test("a machine gets a token for an API", async () => {
  const audience = "https://orders.example/v1";
  const scopes = [{ name: "orders:read", description: "" }];
  await service.send("POST", "/api/apis", { basic, json: { audience, name: "Orders", scopes } });
  const client = await registerClient(service, basic, { scopes: ["orders:read"], audiences: [audience] });
  const [command = ""] = commandsOf("client-credentials");
  const { client_id: CLIENT_ID, client_secret: CLIENT_SECRET } = client;
  const answer = await run(command, { CLIENT_ID, CLIENT_SECRET });
  expect(answer).toMatchObject({ token_type: "Bearer", expires_in: 600, scope: "orders:read" });
  expect(decodeJwt(answer.access_token)).toMatchObject({ sub: CLIENT_ID, aud: audience });
  const wrong = await run(command, { CLIENT_ID, CLIENT_SECRET: "wrong" });
  expect(wrong).toMatchObject({ error: "invalid_client" });
});

test("a device gets tokens for its user", async () => {
  const grants = { public: true, grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"] };
  const { client_id: CLIENT_ID } = await registerClient(service, basic, grants);
  const [start = "", poll = ""] = commandsOf("cli-sign-in");
  const { device_code: DEVICE_CODE, user_code } = await run(start, { CLIENT_ID });
  expect(await run(poll, { CLIENT_ID, DEVICE_CODE })).toMatchObject({ error: "authorization_pending" });
  const browser = openBrowser(service);
  const page = await browser.signIn(await browser.go("GET", "/oauth/device"), "miguel");
  await browser.submit(await browser.submit(page, { user_code }), { decision: "allow" });
  await service.sql("UPDATE device_codes SET last_polled_at = last_polled_at - interval '1 minute'");
  const tokens = await run(poll, { CLIENT_ID, DEVICE_CODE });
  expect(decodeJwt(tokens.id_token)).toMatchObject({ sub: miguel.id, preferred_username: "miguel" });
});

test("a code is redeemed, and the token refreshed and revoked", async () => {
  const app = await registerApp(service, basic);
  const { query, verifier } = requestOf(app);
  const browser = await signedInBrowser(service, "miguel", app);
  const decided = await browser.decide(await openConsent(browser, query), "allow");
  const CODE = parametersOf(decided.header("location") ?? "")["code"] ?? "";
  const endpoint = `${service.url}/oauth/token`;
  const env = { CLIENT_ID: app.client_id, CODE, VERIFIER: verifier, REDIRECT_URI: redirectUri };
  const tokens = await run(
    `curl -d grant_type=authorization_code -d "client_id=$CLIENT_ID" -d "code=$CODE" -d "code_verifier=$VERIFIER" \
      --data-urlencode "redirect_uri=$REDIRECT_URI" ${endpoint}`,
    env,
  );
  expect(tokens).toMatchObject({ scope: "openid account:read" });
  const refresh = `curl -d grant_type=refresh_token -d "client_id=$CLIENT_ID" -d "refresh_token=$TOKEN" ${endpoint}`;
  const refreshed = await run(refresh, { ...env, TOKEN: tokens.refresh_token });
  const me = await run(`curl -H "Authorization: Bearer $TOKEN" ${service.url}/oauth/userinfo`, {
    TOKEN: refreshed.access_token,
  });
  expect(me).toEqual({ sub: miguel.id });
  const revoke = `curl -w '"%{http_code}"' -d "client_id=$CLIENT_ID" -d "token=$TOKEN" ${service.url}/oauth/revoke`;
  expect(await run(revoke, { ...env, TOKEN: refreshed.refresh_token })).toBe("200");
  expect(await run(refresh, { ...env, TOKEN: refreshed.refresh_token })).toMatchObject({ error: "invalid_grant" });
});
