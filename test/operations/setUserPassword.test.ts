import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const miguel = await service.register("miguel");
const target = `/api/users/${miguel.id}/password`;
const json = { new_password: "staple horse correct" };

describeOperation("setUserPassword", {
  service,
  target,
  request: () => ({ basic, json }),
  cases: {
    204: {
      "and ends tokens, sessions and the old password": async () => {
        const { id, username } = await service.register();
        const session = (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;
        const put = await service.send("PUT", `/api/users/${id.toUpperCase()}/password`, { basic, json });
        expect(put.status).toBe(204);
        const get = (sent: object) => service.send("GET", "/api/resource", sent);
        expect(await get({ bearer: session.access_token })).toMatchObject({ status: 401, problem: "token-revoked" });
        const { refresh_token } = session;
        expect((await service.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(401);
        expect((await get({ basic: [username, password] })).status).toBe(401);
        expect((await get({ basic: [username, json.new_password] })).status).toBe(200);
      },
      "and forgets the networks of the user": async () => {
        const { id } = await service.register();
        const known = () => service.sql("SELECT 1 FROM familiar_networks WHERE user_id = $1", [id]);
        expect((await known()).length).toBe(1);
        await service.send("PUT", `/api/users/${id}/password`, { basic, json });
        expect(await known()).toEqual([]);
      },
      "for a blocked user, who stays blocked": async () => {
        const { id, username } = await service.register();
        await service.send("PATCH", `/api/users/${id}`, { basic, json: { blocked: true } });
        expect((await service.send("PUT", `/api/users/${id}/password`, { basic, json })).status).toBe(204);
        const mine: [string, string] = [username, json.new_password];
        expect((await service.send("GET", "/api/users/me", { basic: mine })).status).toBe(401);
        await service.send("PATCH", `/api/users/${id}`, { basic, json: { blocked: false } });
        expect((await service.send("GET", "/api/users/me", { basic: mine })).status).toBe(200);
      },
    },
    404: {
      "for an unknown id": async () => {
        const unknown = "/api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b/password";
        expect(await service.send("PUT", unknown, { basic, json })).toMatchObject({ status: 404 });
      },
    },
    422: {
      "for a weak password, or one with the username": async () => {
        for (const [new_password, reason] of [
          ["python", "too-short"],
          ["miguel miguel miguel", "contains-username"],
        ]) {
          const answer = await service.send("PUT", target, { basic, json: { new_password } });
          expect(answer).toMatchObject({ status: 422, problem: "password-refused", json: { reason } });
        }
      },
    },
    400: {
      "for a password that cannot be one": async () => {
        const answer = await service.send("PUT", target, {
          basic,
          json: { new_password: "staple\u0000horse correct" },
        });
        expect(answer).toMatchObject({ status: 400, json: { errors: [{ pointer: "#/new_password" }] } });
      },
    },
  },
});
