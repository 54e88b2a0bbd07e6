import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const answer = await service.send("GET", "/api/token?scope=openid%20profile", { basic: ["miguel", password] });
const bearer: string = answer.json.token;

describeOperation("postUserinfo", {
  service,
  request: () => ({ bearer }),
  cases: {
    200: {
      "with the claims that GET returns": async () => {
        const posted = await service.send("POST", "/oauth/userinfo", { bearer });
        expect(posted).toMatchObject({ status: 200, json: { sub: miguel.id, preferred_username: "miguel" } });
        expect(posted.json).toEqual((await service.send("GET", "/oauth/userinfo", { bearer })).json);
      },
      "whatever the body is": async () => {
        const posted = await service.send("POST", "/oauth/userinfo", { bearer, form: { x: "1" } });
        expect(posted).toMatchObject({ status: 200, json: { sub: miguel.id } });
      },
    },
    401: {
      "for a token in the body": async () => {
        const posted = await service.send("POST", "/oauth/userinfo", { form: { access_token: bearer } });
        expect(posted.status).toBe(401);
        expect(posted.header("www-authenticate")).toBe('Bearer realm="latchkey"');
      },
    },
    500: {
      "for an unexpected error, which only the log describes": () =>
        service.withBrokenTables(async () => {
          const answer = await service.send("POST", "/oauth/userinfo", { bearer });
          expect(answer).toMatchObject({ status: 500, json: { error: "server_error" } });
          expect(answer.text).not.toContain("relation");
        }),
    },
  },
});
