import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const susan = await service.register("susan");
const target = `/api/users/${miguel.id}`;
const request = { basic: ["miguel", password] as [string, string] };

describeOperation("getUser", {
  service,
  target,
  request: () => request,
  cases: {
    200: {
      "with the caller, by password and by token": async () => {
        const token = await service.token("miguel");
        for (const sent of [request, { bearer: token }, { basic: [token, "unused"] as [string, string] }]) {
          expect(await service.send("GET", target, sent)).toMatchObject({ status: 200, json: miguel });
        }
        const inUpperCase = `/api/users/${miguel.id.toUpperCase()}`;
        expect((await service.send("GET", inUpperCase, request)).status).toBe(200);
      },
    },
    400: {
      ...each(
        "for the id %s",
        [["1"], ["me2"], ["urn:uuid:01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"], ["%00"], ["..%2f.."], ["%6de"]],
        async (id) => {
          const answer = await service.send("GET", `/api/users/${id}`, request);
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.json.errors).toMatchObject([{ parameter: "id" }]);
        },
      ),
      "for a path that is not percent-encoded UTF-8": async () => {
        expect((await service.send("GET", "/api/users/%ff", request)).status).toBe(400);
      },
    },
    404: {
      "for another user's id and an unknown one alike": async () => {
        const another = await service.send("GET", `/api/users/${susan.id}`, request);
        const unknown = miguel.id.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
        const missing = await service.send("GET", `/api/users/${unknown}`, request);
        expect(another).toMatchObject({ status: 404, problem: "not-found" });
        expect({ ...another.json, instance: "" }).toEqual({ ...missing.json, instance: "" });
      },
    },
  },
});
