import { expect } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
const client = await insertClient(service, { authentication: "none" });
const confidential = await insertClient(service);
const webOnly = await insertClient(service, { authentication: "none", grantTypes: ["authorization_code"] });
const path = "/oauth/device-authorization";
const start = (form: Record<string, string>) => service.send("POST", path, { form });

describeOperation("startDeviceAuthorization", {
  service,
  request: () => ({ form: { client_id: client.id } }),
  isVariable: true,
  cases: {
    200: {
      "with both codes, and the link with the user's code": async () => {
        const answer = await start({ client_id: client.id, scope: "openid account:read" });
        expect(answer.status).toBe(200);
        expect(answer.json).toEqual({
          device_code: expect.stringMatching(/^[\w-]{43}$/),
          user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
          verification_uri: "http://127.0.0.1:8080/oauth/device",
          verification_uri_complete: `http://127.0.0.1:8080/oauth/device?user_code=${answer.json.user_code}`,
          expires_in: 600,
          interval: 5,
        });
        expect(answer.header("cache-control")).toBe("no-store");
      },
      "and stores neither of the codes as it is": async () => {
        const { device_code, user_code } = (await start({ client_id: client.id })).json;
        const rows = JSON.stringify(await service.sql("SELECT * FROM device_codes"));
        const asHex = (text: string) => Buffer.from(text).toString("hex");
        for (const code of [device_code, user_code, user_code.replace("-", "")]) {
          expect(rows).not.toContain(code);
          expect(rows).not.toContain(asHex(code));
        }
      },
      "to a client with a secret, in the header or in the body": async () => {
        const { id, secret } = confidential;
        expect((await start({ client_id: id, client_secret: secret })).status).toBe(200);
        expect((await service.send("POST", path, { basic: [id, secret], form: { scope: "openid" } })).status).toBe(200);
      },
      "with the lifetime of DEVICE_CODE_SECONDS": async () => {
        const other = await startTestService({ DEVICE_CODE_SECONDS: "60" }, service.databaseUrl);
        const answer = await other.send("POST", path, { form: { client_id: client.id } });
        expect(answer.json.expires_in).toBe(60);
        await other.close();
      },
    },
    400: each(
      "for %s",
      [
        ["a client without the grant", { client_id: webOnly.id }, "unauthorized_client"],
        ["a scope that the client may not ask for", { client_id: client.id, scope: "users:read" }, "invalid_scope"],
        ["an unknown audience", { client_id: client.id, resource: "https://other.example" }, "invalid_target"],
        [
          "two ways to authenticate",
          { client_id: client.id, client_secret: "x", client_assertion: "y" },
          "invalid_request",
        ],
      ],
      async (_label, form, error) => {
        expect(await start(form)).toMatchObject({ status: 400, json: { error } });
      },
    ),
    401: {
      ...each(
        "for %s",
        [
          ["no client", { scope: "openid" }],
          ["an unknown client", { client_id: `lkc_${"0".repeat(32)}` }],
          ["a confidential client without its secret", { client_id: confidential.id }],
          ["a wrong secret", { client_id: confidential.id, client_secret: "lks_x" }],
        ],
        async (_label, form) => {
          const answer = await start(form as Record<string, string>);
          expect(answer).toMatchObject({ status: 401, json: { error: "invalid_client" } });
        },
      ),
      "for a client that another instance has just deleted": async () => {
        const { id } = await insertClient(service, { authentication: "none" });
        expect((await start({ client_id: id })).status).toBe(200);
        // The client is in memory until the revocation arrives. This deletion has none.
        await service.sql("DELETE FROM clients WHERE id = $1", [id]);
        expect(await start({ client_id: id })).toMatchObject({ status: 401, json: { error: "invalid_client" } });
      },
      "for a wrong secret in the header, with a Basic challenge": async () => {
        const answer = await service.send("POST", path, {
          basic: [confidential.id, "lks_x"],
          form: { scope: "openid" },
        });
        expect(answer.status).toBe(401);
        expect(answer.header("www-authenticate")).toMatch(/^Basic /);
      },
    },
    429: {
      "when a network has started too many": async () => {
        const limited = await startTestService({ THROTTLE_ADDRESS: "3" });
        limited.advance(toNextWindowSeconds());
        const { id } = await insertClient(limited, { authentication: "none" });
        const request = () => limited.send("POST", path, { form: { client_id: id } });
        for (let count = 0; count < 3; count += 1) expect((await request()).status).toBe(200);
        const answer = await request();
        expect(answer).toMatchObject({ status: 429, json: { error: "temporarily_unavailable" } });
        expect(answer.header("ratelimit-policy")).toBe('"device-codes";q=3;w=900');
        expect(limited.log.some((line) => line.includes('"limit":"device-codes"'))).toBe(true);
        await limited.close();
      },
    },
  },
});
