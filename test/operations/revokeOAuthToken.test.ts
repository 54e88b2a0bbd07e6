import { expect } from "vitest";
import { newSecret } from "../../src/apiKeys/format.ts";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { password, startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const client = await registerClient(service, await service.administrator());
const revoke = (token: string, hint?: string) =>
  service.send("POST", "/oauth/revoke", { form: { token, ...(hint && { token_type_hint: hint }) } });
const signIn = async (json?: object) =>
  (await service.send("POST", "/api/sessions", { basic, ...(json && { json }) })).json;
const refresh = (refresh_token: string) => service.send("POST", "/api/token", { json: { refresh_token } });
const read = (bearer: string) => service.send("GET", "/api/resource", { bearer });

describeOperation("revokeOAuthToken", {
  service,
  request: () => ({ form: { token: newSecret().text } }),
  cases: {
    401: {
      "for a wrong secret of a client": async () => {
        const form = { token: "x", client_id: client.client_id, client_secret: "wrong" };
        const answer = await service.send("POST", "/oauth/revoke", { form });
        expect(answer).toMatchObject({ status: 401, problem: "invalid-client" });
      },
    },
    429: {
      "after too many wrong secrets from one network": async () => {
        const strict = await startTestService({ THROTTLE_ADDRESS: "1" }, service.databaseUrl);
        strict.advance(toNextWindowSeconds());
        const form = { token: "x", client_id: client.client_id, client_secret: "wrong" };
        expect((await strict.send("POST", "/oauth/revoke", { form })).status).toBe(401);
        const answer = await strict.send("POST", "/oauth/revoke", { form });
        expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
        await strict.close();
      },
    },
    200: {
      "and a token without a session is rejected; another one is not": async () => {
        const [token, other] = [await service.token("miguel"), await service.token("miguel")];
        expect(await revoke(token)).toMatchObject({ status: 200, text: "" });
        expect(await read(token)).toMatchObject({ status: 401, problem: "token-revoked" });
        expect(await read(other)).toMatchObject({ status: 200 });
      },
      "and a token of a session ends the session": async () => {
        const { access_token, refresh_token } = await signIn();
        expect((await revoke(access_token, "refresh_token")).status).toBe(200);
        expect(await read(access_token)).toMatchObject({ problem: "token-revoked" });
        expect(await refresh(refresh_token)).toMatchObject({ problem: "token-revoked" });
      },
      "and a refresh token ends its session, also after its use": async () => {
        const first = await signIn();
        const second = (await refresh(first.refresh_token)).json;
        const other = await signIn();
        expect((await revoke(first.refresh_token)).status).toBe(200);
        for (const token of [first.access_token, second.access_token]) {
          expect(await read(token)).toMatchObject({ problem: "token-revoked" });
        }
        expect(await refresh(second.refresh_token)).toMatchObject({ problem: "token-revoked" });
        expect((await refresh(other.refresh_token)).status).toBe(200);
      },
      "and an API key is deleted": async () => {
        const { key } = await createKey(service, "miguel");
        expect(await use(service, key)).toBe(200);
        expect((await revoke(key, "access_token")).status).toBe(200);
        expect(await use(service, key)).toBe("invalid-token");
      },
      ...each(
        "for %s, the same",
        [
          ["garbage", "x"],
          ["an unknown key", newSecret().text],
          ["a malformed key", "lk_x"],
          ["an unknown refresh token", `01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.${"A".repeat(48)}`],
          ["a NUL", "\0"],
        ],
        async (_label, token) => {
          expect(await revoke(token)).toMatchObject({ status: 200, text: "" });
        },
      ),
    },
    400: {
      "without a token": async () => {
        const answer = await service.send("POST", "/oauth/revoke", { form: { token_type_hint: "access_token" } });
        expect(answer).toMatchObject({ status: 400, json: { error: "invalid_request" } });
      },
    },
  },
});
