import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const { id } = await service.register("miguel");
const remove = (id: string) => service.send("DELETE", `/api/users/${id}`, { basic });

describeOperation("deleteUserById", {
  service,
  target: `/api/users/${id}`,
  request: async () => {
    // The user that an earlier case has deleted.
    await service.sql(
      "INSERT INTO users (id, username, password_hash) VALUES ($1, 'miguel', 'x') ON CONFLICT DO NOTHING",
      [id],
    );
    return { basic };
  },
  cases: {
    204: {
      "and ends the credentials of the user": async () => {
        const user = await service.register();
        const bearer = await service.token(user.username);
        expect((await remove(user.id.toUpperCase())).status).toBe(204);
        expect(await service.send("GET", "/api/resource", { bearer })).toMatchObject({ problem: "token-revoked" });
        const mine: [string, string] = [user.username, password];
        expect((await service.send("GET", "/api/resource", { basic: mine })).status).toBe(401);
        expect(await remove(user.id)).toMatchObject({ status: 404, problem: "not-found" });
        expect((await service.register(user.username)).id).not.toBe(user.id);
      },
      "also for a blocked user": async () => {
        const user = await service.register();
        await service.send("PATCH", `/api/users/${user.id}`, { basic, json: { blocked: true } });
        expect((await remove(user.id)).status).toBe(204);
      },
    },
    404: {
      "for an unknown id": async () => {
        expect(await remove("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b")).toMatchObject({ status: 404 });
      },
    },
    409: {
      "for the last administrator who is not blocked": async () => {
        const me = (await service.send("GET", "/api/users/me", { basic })).json;
        expect(await remove(me.id)).toMatchObject({ status: 409, problem: "last-administrator" });
        const [other] = await service.administrator("other-administrator");
        const { json } = await service.send("GET", `/api/users?username=${other}`, { basic });
        await service.send("PATCH", `/api/users/${json.users[0].id}`, { basic, json: { blocked: true } });
        expect((await remove(me.id)).status).toBe(409);
        expect((await remove(json.users[0].id)).status).toBe(204);
      },
    },
  },
});
