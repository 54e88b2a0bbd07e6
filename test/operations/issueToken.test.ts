import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  asksForThePassword,
  refusesGuessing,
  refusesUnreadableForms,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
const issuer = "http://127.0.0.1:8080";
const miguel = await service.register("miguel");

describe("GET /api/token", () => {
  const request = {
    method: "GET",
    target: "/api/token",
    good: () => Promise.resolve({ basic: ["miguel", password] as [string, string] }),
  };

  test("200 with a token for 600 seconds", async () => {
    const answer = await service.send("GET", "/api/token", await request.good());
    expect(answer).toMatchObject({ status: 200, json: { duration: 600 } });
    expect((await service.send("GET", "/api/resource", { bearer: answer.json.token })).status).toBe(200);
  });

  test("anyone can verify the token with the published keys (RFC 9068)", async () => {
    const token = await service.token("miguel");
    const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`));
    const { payload } = await jwtVerify(token, keys, { issuer, audience: issuer, typ: "at+jwt" });
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: "EdDSA", typ: "at+jwt" });
    expect(payload).toMatchObject({ sub: miguel.id, username: "miguel", epoch: 0, jti: expect.any(String) });
    expect(Number(payload.exp) - Number(payload.iat)).toBe(600);
  });

  test.each([
    ["of a default start", {}, issuer],
    ["of a PUBLIC_URL", { PUBLIC_URL: "https://auth.example.com/v1" }, "https://auth.example.com/v1"],
  ])("a client library for RFC 9068 accepts the token %s, and that of a session", async (_name, settings, audience) => {
    const here = await startTestService(settings);
    const { username, id } = await here.register();
    const server = { issuer: audience, jwks_uri: `${here.url}/.well-known/jwks.json` };
    const basic: [string, string] = [username, password];
    const { access_token } = (await here.send("POST", "/api/sessions", { basic })).json;
    for (const token of [await here.token(username), access_token]) {
      const request = new Request(`${here.url}/api/resource`, { headers: { authorization: `Bearer ${token}` } });
      const options = { [oauth.allowInsecureRequests]: true };
      const accepted = await oauth.validateJwtAccessToken(server, request, audience, options);
      expect(accepted).toMatchObject({ iss: audience, aud: audience, sub: id, client_id: "latchkey" });
    }
  });

  test("TOKEN_TTL_SECONDS and PUBLIC_URL are what the token says", async () => {
    const other = await startTestService({ TOKEN_TTL_SECONDS: "5", PUBLIC_URL: "https://auth.example.com/v1" });
    await other.register("susan");
    const answer = await other.send("GET", "/api/token", { basic: ["susan", password] });
    expect(answer.json.duration).toBe(5);
    const payload = JSON.parse(Buffer.from(answer.json.token.split(".")[1], "base64url").toString());
    expect(payload).toMatchObject({ iss: "https://auth.example.com/v1", aud: "https://auth.example.com/v1" });
    expect((await other.send("GET", "/api/resource", { bearer: answer.json.token })).status).toBe(200);
    // The path of PUBLIC_URL is the proxy's: requests are validated all the same.
    const unsound = { username: "ann", password, admin: true };
    expect((await other.send("POST", "/api/users", { json: unsound })).status).toBe(400);
    other.advance(6);
    expect(await other.send("GET", "/api/resource", { bearer: answer.json.token })).toMatchObject({
      status: 401,
      problem: "token-expired",
    });
  });

  refusesUnsoundRequests(service, request);
  asksForThePassword(service, request);
  refusesGuessing(service, request);
  refusesUnreadableForms(service, request);
  survivesFaults(service, request);
});
