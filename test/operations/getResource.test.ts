import { expect } from "vitest";
import type { Sent } from "../support/client.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");

describeOperation("getResource", {
  service,
  request: () => ({ basic: ["miguel", password] }),
  cases: {
    200: {
      "with a password, a token, and a token as the username with any password": async () => {
        const token = await service.token("miguel");
        const ways: Sent[] = [
          { basic: ["miguel", password] },
          { basic: ["MIGUEL", password] },
          { bearer: token },
          { basic: [token, "unused"] },
          { basic: [token, ""] },
          { headers: { authorization: `bEaReR ${token}` } },
        ];
        for (const way of ways) {
          const answer = await service.send("GET", "/api/resource", way);
          expect(answer).toMatchObject({ status: 200, json: { data: "Hello, miguel!" } });
        }
      },
      "with a password in another Unicode normal form": async () => {
        const secret = "crème brûlée à Nîmes";
        await service.send("POST", "/api/users", { json: { username: "zoe", password: secret } });
        const answer = await service.send("GET", "/api/resource", { basic: ["zoe", secret.normalize("NFD")] });
        expect(answer.status).toBe(200);
      },
    },
    401: {
      "for an expired token, with the time of expiry and a problem of its own": async () => {
        const bearer = await service.token("miguel");
        service.advance(590);
        expect((await service.send("GET", "/api/resource", { bearer })).status).toBe(200);
        service.advance(11);
        for (const sent of [{ bearer }, { basic: [bearer, "unused"] as [string, string] }]) {
          const answer = await service.send("GET", "/api/resource", sent);
          expect(answer).toMatchObject({ status: 401, problem: "token-expired" });
          expect(answer.json.detail).toMatch(/expired at \d{4}-/);
          expect(answer.header("www-authenticate")).toContain('error_description="The token has expired"');
        }
        service.advance(-601);
      },
    },
  },
});
