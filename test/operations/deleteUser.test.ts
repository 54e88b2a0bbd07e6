import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { holdLocks, password, startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("deleteUser", {
  service,
  request: async () => ({ basic: [(await service.register()).username, password] }),
  cases: {
    204: {
      "and neither the password nor a token works any more": async () => {
        const { id, username } = await service.register();
        const bearer = await service.token(username);
        expect((await service.send("DELETE", "/api/users/me", { basic: [username, password] })).status).toBe(204);
        expect(await service.send("GET", "/api/resource", { bearer })).toMatchObject({
          status: 401,
          problem: "token-revoked",
        });
        expect(await service.send("GET", "/api/resource", { basic: [username, password] })).toMatchObject({
          status: 401,
          problem: "invalid-credentials",
        });
        expect(await service.sql("SELECT 1 FROM users WHERE id = $1", [id])).toEqual([]);
      },
      "and the name can be registered again, by a user whom an old token does not authenticate": async () => {
        const first = await service.register("phoenix");
        const bearer = await service.token("phoenix");
        await service.send("DELETE", "/api/users/me", { basic: ["phoenix", password] });
        const second = await service.register("phoenix");
        expect(second.id).not.toBe(first.id);
        expect((await service.send("GET", "/api/resource", { bearer })).status).toBe(401);
      },
    },
    409: {
      "for the last administrator, who stays one": async () => {
        const basic = await service.administrator();
        const answer = await service.send("DELETE", "/api/users/me", { basic });
        expect(answer).toMatchObject({ status: 409, problem: "last-administrator" });
        const other = await service.administrator("second-administrator");
        expect((await service.send("DELETE", "/api/users/me", { basic })).status).toBe(204);
        expect((await service.send("DELETE", "/api/users/me", { basic: other })).status).toBe(409);
      },
    },
    401: {
      "if the password is changed after it was verified": async () => {
        const { id, username } = await service.register();
        const basic: [string, string] = [username, password];
        // Both requests have verified the password when they wait for the row.
        const lock = await holdLocks(service, "SELECT 1 FROM users WHERE id = $1 FOR UPDATE", [id]);
        const json = { current_password: password, new_password: "staple horse correct" };
        const change = service.send("PUT", "/api/users/me/password", { basic, json });
        await lock.untilWaiting(1);
        const deletion = service.send("DELETE", "/api/users/me", { basic });
        await lock.untilWaiting(2);
        await lock.commit();
        expect((await change).status).toBe(204);
        expect((await deletion).status).toBe(401);
      },
    },
  },
});
