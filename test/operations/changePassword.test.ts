import { expect } from "vitest";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const next = "staple horse correct";
const change = (sent: object, current_password = password, new_password = next) =>
  service.send("PUT", "/api/users/me/password", { ...sent, json: { current_password, new_password } });

describeOperation("changePassword", {
  service,
  request: async () => ({
    basic: [(await service.register()).username, password],
    json: { current_password: password, new_password: password },
  }),
  cases: {
    204: {
      "and only the new password signs in": async () => {
        const { username } = await service.register();
        expect((await change({ basic: [username, password] })).status).toBe(204);
        expect((await service.send("GET", "/api/resource", { basic: [username, password] })).status).toBe(401);
        expect((await service.send("GET", "/api/resource", { basic: [username, next] })).status).toBe(200);
      },
      "with a token, and every token of the user is revoked, that one too": async () => {
        const { username } = await service.register();
        const other = await service.register();
        const [first, second, untouched] = await Promise.all([
          service.token(username),
          service.token(username),
          service.token(other.username),
        ]);
        expect((await change({ bearer: first })).status).toBe(204);
        for (const bearer of [first, second]) {
          const answer = await service.send("GET", "/api/resource", { bearer });
          expect(answer).toMatchObject({ status: 401, problem: "token-revoked" });
        }
        expect((await service.send("GET", "/api/resource", { bearer: untouched })).status).toBe(200);
      },
      "and deletes the user's API keys, unless they are kept": async () => {
        for (const [keep_api_keys, result] of [
          [undefined, "invalid-token"],
          [false, "invalid-token"],
          [true, 200],
        ]) {
          const { username } = await service.register();
          const { key } = await createKey(service, username);
          const json = { current_password: password, new_password: next, keep_api_keys };
          const changed = await service.send("PUT", "/api/users/me/password", { basic: [username, password], json });
          expect(changed.status).toBe(204);
          expect(await use(service, key)).toBe(result);
          const { json: page } = await service.send("GET", "/api/api-keys", { basic: [username, next] });
          expect(page.api_keys).toHaveLength(keep_api_keys ? 1 : 0);
        }
      },
      "to exactly one of two simultaneous changes": async () => {
        const { username } = await service.register();
        const bearer = await service.token(username);
        const passwords = ["violin under bridge", "garden before winter"];
        const answers = await Promise.all(passwords.map((secret) => change({ bearer }, password, secret)));
        expect(answers.map(({ status }) => status).sort()).toEqual([204, 401]);
        const winner = passwords[answers.findIndex(({ status }) => status === 204)] as string;
        expect((await service.send("GET", "/api/resource", { basic: [username, winner] })).status).toBe(200);
      },
    },
    400: {
      "for a new password with a forbidden character": async () => {
        const { username } = await service.register();
        const answer = await change({ basic: [username, password] }, password, "new\u0000password");
        expect(answer).toMatchObject({ status: 400, json: { errors: [{ pointer: "#/new_password" }] } });
      },
    },
    401: {
      "for a wrong current password, and nothing changes": async () => {
        const { username } = await service.register();
        const bearer = await service.token(username);
        for (const wrong of ["wrong password", "", "\ud800"]) {
          expect(await change({ bearer }, wrong)).toMatchObject({ status: 401, problem: "invalid-credentials" });
        }
        expect((await service.send("GET", "/api/resource", { bearer })).status).toBe(200);
      },
    },
    422: {
      "for a new password that the password policy rejects": async () => {
        const { username } = await service.register();
        expect(await change({ basic: [username, password] }, password, "short")).toMatchObject({
          status: 422,
          json: { reason: "too-short" },
        });
      },
    },
  },
});
