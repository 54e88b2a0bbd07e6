import { decodeJwt } from "jose";
import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { issueCode, ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();
const miguel = await service.register("miguel");
const orders = "https://orders.example";
const scopes = [{ name: "orders:read", description: "See orders." }];
const api = { audience: orders, name: "Orders", scopes, token_lifetime_seconds: 120 };
await service.send("POST", "/api/apis", { basic: administrator, json: api });

const machine = await registerClient(service, administrator, {
  scopes: ["users:read", "account:read", "orders:read"],
  audiences: [orders],
});
const app = await registerClient(service, administrator, {
  public: true,
  grant_types: ["authorization_code", "refresh_token"],
  scopes: ["account:read", "openid"],
  redirect_uris: [redirectUri],
});
const credentials: [string, string] = [machine.client_id, machine.client_secret];
const credentials2 = { client_id: machine.client_id, client_secret: machine.client_secret };
const code = async () => ({
  client_id: app.client_id,
  ...(await issueCode(service, { clientId: app.client_id, userId: miguel.id })),
});
const ask = (form: Record<string, string>, basic?: [string, string]) =>
  service.send("POST", "/oauth/token", { form, ...(basic && { basic }) });

describeOperation("issueOAuthTokens", {
  service,
  isVariable: true,
  request: async () => ({ form: await code() }),
  cases: {
    200: {
      "with a token of the client itself, which is its own subject": async () => {
        for (const answer of [
          await ask({ grant_type: "client_credentials", scope: "users:read account:read" }, credentials),
          await ask({ grant_type: "client_credentials", scope: "users:read", unknown: "x", ...credentials2 }),
        ]) {
          expect(answer).toMatchObject({
            status: 200,
            json: { token_type: "Bearer", expires_in: 600, scope: "users:read" },
          });
          expect(Object.keys(answer.json)).not.toContain("refresh_token");
          expect(answer.header("cache-control")).toBe("no-store");
          const { client_id } = machine;
          const claims = decodeJwt(answer.json.access_token);
          expect(claims).toMatchObject({ sub: client_id, client_id, aud: ownAudience, scope: "users:read" });
          expect(claims).not.toHaveProperty("username");
        }
      },
      "with a token for an API, with its lifetime and version": async () => {
        const answer = await ask({ grant_type: "client_credentials", resource: orders }, credentials);
        expect(answer).toMatchObject({ status: 200, json: { expires_in: 120, scope: "orders:read" } });
        expect(decodeJwt(answer.json.access_token)).toMatchObject({
          aud: orders,
          epochs: { [`client:${machine.client_id}`]: expect.any(Number), [`api:${orders}`]: expect.any(Number) },
        });
      },
      "for a code and then for the refresh token, which work once": async () => {
        const parameters = await code();
        const first = await ask(parameters);
        expect(first).toMatchObject({ status: 200, json: { scope: "account:read", expires_in: 600 } });
        const claims = decodeJwt(first.json.access_token);
        expect(claims).toMatchObject({ sub: miguel.id, username: "miguel", client_id: app.client_id });
        expect(claims["auth_time"]).toBeLessThan(Number(claims.iat) - 290);
        const refresh = { grant_type: "refresh_token", client_id: app.client_id };
        const second = await ask({ ...refresh, refresh_token: first.json.refresh_token });
        expect(second).toMatchObject({ status: 200, json: { scope: "account:read" } });
        expect(decodeJwt(second.json.access_token)).toMatchObject({ sid: claims["sid"], client_id: app.client_id });
      },
    },
    400: each<[string, Record<string, string>, string]>(
      "for %s",
      [
        ["no grant type", { grant_type: "" }, "invalid-request"],
        ["an unknown grant type", { grant_type: "password" }, "unsupported-grant-type"],
        [
          "a grant that the client does not have",
          { grant_type: "authorization_code", code: "x" },
          "unauthorized-client",
        ],
        ["a scope that the client does not have", { scope: "users:write" }, "invalid-scope"],
        ["an audience that the client does not have", { resource: "https://bills.example" }, "invalid-target"],
      ],
      async (_case, parameters, problem) => {
        const answer = await ask({ grant_type: "client_credentials", ...parameters }, credentials);
        expect(answer).toMatchObject({ status: 400, problem });
        expect(answer.header("cache-control")).toBe("no-store");
      },
    ),
    401: {
      "for a wrong secret, with the challenge of Basic": async () => {
        const grant = { grant_type: "client_credentials" };
        const wrong = machine.client_secret.replace(/.$/, (last) => (last === "x" ? "y" : "x"));
        const header = await ask(grant, [machine.client_id, wrong]);
        expect(header).toMatchObject({ status: 401, problem: "invalid-client", json: { error: "invalid_client" } });
        expect(header.header("www-authenticate")).toContain("Basic");
        const body = await ask({ ...grant, client_id: machine.client_id, client_secret: wrong });
        expect(body).toMatchObject({ status: 401, problem: "invalid-client" });
        expect(body.header("www-authenticate")).toMatch(/^Basic realm="[^"]*", charset="UTF-8"$/);
        const unreadable = await ask({ ...grant, client_id: machine.client_id, client_secret: "two words" });
        expect(unreadable).toMatchObject({ status: 401, problem: "invalid-client" });
      },
      "without a client": async () => {
        expect(await ask({ grant_type: "client_credentials" })).toMatchObject({
          status: 401,
          problem: "invalid-client",
        });
      },
    },
    429: {
      "after too many wrong secrets from one network": async () => {
        const strict = await startTestService({ THROTTLE_ADDRESS: "1" }, service.databaseUrl);
        strict.advance(toNextWindowSeconds());
        const guess = () =>
          strict.send("POST", "/oauth/token", {
            form: { grant_type: "client_credentials", client_id: machine.client_id, client_secret: "wrong" },
          });
        expect((await guess()).status).toBe(401);
        expect(await guess()).toMatchObject({ status: 429, problem: "too-many-requests" });
        await strict.close();
      },
    },
  },
});
