import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  refusesGuessing,
  refusesStrangers,
  refusesUnreadableForms,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const susan = await service.register("susan");

describe("GET /api/users/{id}", () => {
  const request = {
    method: "GET",
    target: `/api/users/${miguel.id}`,
    good: () => Promise.resolve({ basic: ["miguel", password] as [string, string] }),
  };

  test("200 with password and with token", async () => {
    const token = await service.token("miguel");
    for (const sent of [await request.good(), { bearer: token }, { basic: [token, "unused"] as [string, string] }]) {
      expect(await service.send("GET", request.target, sent)).toMatchObject({ status: 200, json: miguel });
    }
    expect(
      (
        await service.send(
          "GET",
          request.target.toUpperCase().replace("/API/USERS", "/api/users"),
          await request.good(),
        )
      ).status,
    ).toBe(200);
  });

  refusesUnsoundRequests(service, request);

  test.each(["1", "me2", "urn:uuid:01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b", "%00", "..%2f..", "%6de"])(
    "400 for the id %s",
    async (id) => {
      const answer = await service.send("GET", `/api/users/${id}`, await request.good());
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      expect(answer.json.errors).toMatchObject([{ parameter: "id" }]);
    },
  );

  test("400 for a path that is not percent-encoded UTF-8", async () => {
    expect((await service.send("GET", "/api/users/%ff", await request.good())).status).toBe(400);
  });

  refusesStrangers(service, request);
  refusesGuessing(service, request);

  test("404 for another's id, the same as for one that does not exist", async () => {
    const another = await service.send("GET", `/api/users/${susan.id}`, await request.good());
    const nobody = miguel.id.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    const missing = await service.send("GET", `/api/users/${nobody}`, await request.good());
    expect(another).toMatchObject({ status: 404, problem: "not-found" });
    expect({ ...another.json, instance: "" }).toEqual({ ...missing.json, instance: "" });
  });

  refusesUnreadableForms(service, request);
  survivesFaults(service, request);
});
