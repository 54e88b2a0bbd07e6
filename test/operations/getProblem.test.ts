import { describe, expect, test } from "vitest";
import { problems } from "../../src/problems/problems.ts";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();

describe("GET /problems/{slug}", () => {
  const request = { method: "GET", target: "/problems/token-expired", good: () => Promise.resolve({}) };

  test.each(Object.entries(problems))("200 with a page about %s", async (slug, { title, remedy }) => {
    const answer = await service.send("GET", `/problems/${slug}`);
    expect(answer.status).toBe(200);
    expect(answer.text).toContain(`<h1>${title}</h1>`);
    expect(answer.text).toContain(remedy);
  });

  refusesUnsoundRequests(service, request);

  test("400 for what cannot be a slug", async () => {
    expect((await service.send("GET", "/problems/Not_A_Slug")).status).toBe(400);
    expect((await service.send("GET", "/problems/__proto__")).status).toBe(400);
  });

  test("404 for a slug that is no problem of ours", async () => {
    expect(await service.send("GET", "/problems/bad-mood")).toMatchObject({ status: 404, problem: "not-found" });
    expect((await service.send("GET", "/problems/constructor")).status).toBe(404);
  });

  test("404 where DOCUMENTATION is off, as for any path, and no answer says where the documentation is", async () => {
    const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
    for (const target of ["/problems/token-expired", "/nowhere"]) {
      const answer = await without.send("GET", target);
      expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      expect(answer.json.detail).toBeUndefined();
    }
    expect((await service.send("GET", "/nowhere")).json.detail).toContain("/docs");
  });

  refusesUnreadableForms(service, request);
});
