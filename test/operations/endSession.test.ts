import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
await service.register("susan");
const basic: [string, string] = ["miguel", password];
const signIn = async (username: string) =>
  (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;

describeOperation("endSession", {
  service,
  target: `/api/sessions/${(await signIn("miguel")).id}`,
  request: () => ({ basic }),
  cases: {
    204: {
      "and that session is revoked; another one is not": async () => {
        const [one, other] = [await signIn("miguel"), await signIn("miguel")];
        const ended = await service.send("DELETE", `/api/sessions/${one.id}`, { bearer: other.access_token });
        expect(ended.status).toBe(204);
        expect((await service.send("GET", "/api/resource", { bearer: one.access_token })).problem).toBe(
          "token-revoked",
        );
        expect((await service.send("GET", "/api/resource", { bearer: other.access_token })).status).toBe(200);
      },
    },
    404: {
      "for another user's session, an ended one and an unknown one alike": async () => {
        const foreign = await signIn("susan");
        const ended = await signIn("miguel");
        await service.send("DELETE", `/api/sessions/${ended.id}`, { basic });
        for (const id of [foreign.id, ended.id, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"]) {
          expect(await service.send("DELETE", `/api/sessions/${id}`, { basic })).toMatchObject({
            status: 404,
            problem: "not-found",
          });
        }
        expect((await service.send("GET", "/api/resource", { bearer: foreign.access_token })).status).toBe(200);
      },
    },
  },
});
