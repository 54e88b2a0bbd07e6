import { expect } from "vitest";
import { newSecret } from "../../src/apiKeys/format.ts";
import { createKey } from "../support/apiKeys.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const admin = await service.administrator();
const miguel = await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const issuer = "http://127.0.0.1:8080";
const introspect = (token: string) =>
  service.send("POST", "/oauth/introspect", { basic: admin, form: { token, token_type_hint: "access_token" } });

describeOperation("introspectToken", {
  service,
  request: () => ({ basic: admin, form: { token: newSecret().text } }),
  cases: {
    200: {
      ...each(
        "and active is false for %s, and nothing else",
        [
          ["garbage", "x"],
          ["an unknown key", newSecret().text],
          ["an unknown refresh token", `01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.${"A".repeat(48)}`],
          ["a forged token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."],
        ],
        async (_label, token) => {
          const answer = await introspect(token);
          expect(answer).toMatchObject({ status: 200, text: '{"active":false}' });
          expect(answer.header("cache-control")).toBe("no-store");
        },
      ),
      "for a token of this service": async () => {
        const { json } = await introspect(await service.token("miguel"));
        expect(json).toEqual({
          active: true,
          token_type: "access_token",
          scope: "account:read account:write",
          client_id: "latchkey",
          username: "miguel",
          sub: miguel.id,
          aud: issuer,
          iss: issuer,
          iat: json.exp - 600,
          exp: expect.any(Number),
          jti: expect.any(String),
          roles: [],
          epoch: 0,
          revocation_subjects: expect.arrayContaining([json.jti, miguel.id, `rights:${miguel.id}`, "everybody"]),
        });
      },
      "for a refresh token, which it does not use": async () => {
        const { id, refresh_token } = (await service.send("POST", "/api/sessions", { basic })).json;
        for (let times = 0; times < 2; times += 1) {
          expect((await introspect(refresh_token)).json).toEqual({
            active: true,
            token_type: "refresh_token",
            client_id: "latchkey",
            username: "miguel",
            sub: miguel.id,
            aud: issuer,
            iss: issuer,
            exp: expect.any(Number),
            sid: id,
          });
        }
        expect((await service.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(200);
      },
      "to an API key with the scope": async () => {
        const { key } = await createKey(service, { basic: admin }, { scopes: ["tokens:introspect"] });
        const answer = await service.send("POST", "/oauth/introspect", { bearer: key, form: { token: key } });
        expect(answer.json).toMatchObject({ active: true, token_type: "api_key", scope: "tokens:introspect" });
      },
    },
    400: each(
      "for %s",
      [
        ["no token", "token_type_hint=access_token", "token is required"],
        ["an empty token", "token=", "token is required"],
        ["two tokens", "token=a&token=b", "token is sent more than once"],
        ["a malformed escape", "token=%zz", "malformed percent escape"],
        ["a long hint", `token=a&token_type_hint=${"x".repeat(65)}`, "token_type_hint"],
      ],
      async (_label, body, description) => {
        const headers = { "content-type": "application/x-www-form-urlencoded" };
        const answer = await service.send("POST", "/oauth/introspect", { basic: admin, body, headers });
        expect(answer).toMatchObject({ status: 400, json: { error: "invalid_request" } });
        expect(answer.json.error_description).toContain(description);
      },
    ),
  },
});
