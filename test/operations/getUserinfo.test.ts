import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const tokenWith = async (scope: string) =>
  (await service.send("GET", `/api/token?scope=${encodeURIComponent(scope)}`, { basic: ["miguel", password] })).json
    .token as string;
const bearer = await tokenWith("openid");

describeOperation("getUserinfo", {
  service,
  request: () => ({ bearer }),
  cases: {
    200: {
      ...each(
        "with the claims of the scopes %s",
        [
          ["openid", { sub: miguel.id }],
          ["openid profile", { sub: miguel.id, preferred_username: "miguel" }],
          ["profile openid", { sub: miguel.id, preferred_username: "miguel" }],
        ],
        async (scope, claims) => {
          const answer = await service.send("GET", "/oauth/userinfo", { bearer: await tokenWith(scope) });
          expect(answer).toMatchObject({ status: 200, json: claims });
          expect(answer.json).toEqual(claims);
          expect(answer.header("cache-control")).toBe("no-store");
        },
      ),
      "with all claims for a token without scopes": async () => {
        const answer = await service.send("GET", "/oauth/userinfo", { bearer: await service.token("miguel") });
        expect(answer.json).toEqual({ sub: miguel.id, preferred_username: "miguel" });
      },
    },
    401: {
      "without a token, with a challenge that names no error": async () => {
        const answer = await service.send("GET", "/oauth/userinfo", {});
        expect(answer.status).toBe(401);
        expect(answer.header("www-authenticate")).toBe('Bearer realm="latchkey"');
      },
      "for the password": async () => {
        const answer = await service.send("GET", "/oauth/userinfo", { basic: ["miguel", password] });
        expect(answer.status).toBe(401);
      },
    },
    403: {
      "for a token without openid": async () => {
        const answer = await service.send("GET", "/oauth/userinfo", { bearer: await tokenWith("profile") });
        expect(answer).toMatchObject({ status: 403, json: { error: "insufficient_scope" } });
        expect(answer.header("www-authenticate")).toContain('error="insufficient_scope", scope="openid"');
      },
    },
    500: {
      "for an unexpected error, which only the log describes": () =>
        service.withBrokenTables(async () => {
          const answer = await service.send("GET", "/oauth/userinfo", { bearer });
          expect(answer).toMatchObject({ status: 500, json: { error: "server_error" } });
          expect(answer.text).not.toContain("relation");
        }),
    },
  },
});
