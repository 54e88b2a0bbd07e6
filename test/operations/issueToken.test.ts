import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const issuer = "http://127.0.0.1:8080";
const miguel = await service.register("miguel");
const request = { basic: ["miguel", password] as [string, string] };

describeOperation("issueToken", {
  service,
  request: () => request,
  cases: {
    200: {
      "with a token that is valid for 600 seconds": async () => {
        const answer = await service.send("GET", "/api/token", request);
        expect(answer).toMatchObject({ status: 200, json: { duration: 600 } });
        expect((await service.send("GET", "/api/resource", { bearer: answer.json.token })).status).toBe(200);
      },
      "with a token that anyone can verify by the published keys (RFC 9068)": async () => {
        const { token } = (await service.send("GET", "/api/token", request)).json;
        const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`));
        const { payload } = await jwtVerify(token, keys, { issuer, audience: issuer, typ: "at+jwt" });
        expect(decodeProtectedHeader(token)).toMatchObject({ alg: "ES256", typ: "at+jwt" });
        expect(payload).toMatchObject({ sub: miguel.id, username: "miguel", epoch: 0, jti: expect.any(String) });
        expect(Number(payload.exp) - Number(payload.iat)).toBe(600);
      },
      ...each<[string, Record<string, string>, string]>(
        "with a token that an RFC 9068 client library accepts, as it does that of a session: %s",
        [
          ["by default", {}, issuer],
          ["with a PUBLIC_URL", { PUBLIC_URL: "https://auth.example.com/v1" }, "https://auth.example.com/v1"],
        ],
        async (_label, settings, audience) => {
          const here = await startTestService(settings);
          const { username, id } = await here.register();
          const server = { issuer: audience, jwks_uri: `${here.url}/.well-known/jwks.json` };
          const { access_token } = (await here.send("POST", "/api/sessions", { basic: [username, password] })).json;
          for (const token of [await here.token(username), access_token]) {
            const request = new Request(`${here.url}/api/resource`, { headers: { authorization: `Bearer ${token}` } });
            const options = { [oauth.allowInsecureRequests]: true };
            const accepted = await oauth.validateJwtAccessToken(server, request, audience, options);
            expect(accepted).toMatchObject({ iss: audience, aud: audience, sub: id, client_id: "latchkey" });
          }
        },
      ),
      "with the lifetime of TOKEN_TTL_SECONDS and the issuer of PUBLIC_URL": async () => {
        const publicUrl = "https://auth.example.com/v1";
        const other = await startTestService({ TOKEN_TTL_SECONDS: "5", PUBLIC_URL: publicUrl });
        await other.register("susan");
        const answer = await other.send("GET", "/api/token", { basic: ["susan", password] });
        expect(answer.json.duration).toBe(5);
        expect(decodeJwt(answer.json.token)).toMatchObject({ iss: publicUrl, aud: publicUrl });
        expect((await other.send("GET", "/api/resource", { bearer: answer.json.token })).status).toBe(200);
        // A proxy removes the path of PUBLIC_URL. Requests are validated all the same.
        const unsound = { username: "ann", password, admin: true };
        expect((await other.send("POST", "/api/users", { json: unsound })).status).toBe(400);
        other.advance(6);
        expect(await other.send("GET", "/api/resource", { bearer: answer.json.token })).toMatchObject({
          status: 401,
          problem: "token-expired",
        });
      },
    },
  },
});
