import { expect } from "vitest";
import { problems } from "../../src/problems/catalogue.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("getProblem", {
  service,
  target: "/problems/token-expired",
  request: () => ({}),
  cases: {
    200: each("with a page about %s", Object.entries(problems), async (slug, { title, remedy }) => {
      const answer = await service.send("GET", `/problems/${slug}`);
      expect(answer.status).toBe(200);
      expect(answer.text).toContain(`<h1>${title}</h1>`);
      expect(answer.text).toContain(remedy);
    }),
    400: {
      "for what cannot be a slug": async () => {
        expect((await service.send("GET", "/problems/Not_A_Slug")).status).toBe(400);
        expect((await service.send("GET", "/problems/__proto__")).status).toBe(400);
      },
    },
    404: {
      "for an unknown slug": async () => {
        expect(await service.send("GET", "/problems/bad-mood")).toMatchObject({ status: 404, problem: "not-found" });
        expect((await service.send("GET", "/problems/constructor")).status).toBe(404);
      },
      "where DOCUMENTATION is off, as for any path, and no answer links to the documentation": async () => {
        const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
        for (const target of ["/problems/token-expired", "/nowhere"]) {
          const answer = await without.send("GET", target);
          expect(answer).toMatchObject({ status: 404, problem: "not-found" });
          expect(answer.json.detail).toBeUndefined();
        }
        expect((await service.send("GET", "/nowhere")).json.detail).toContain("/docs");
      },
    },
  },
});
