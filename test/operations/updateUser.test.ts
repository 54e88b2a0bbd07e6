import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();
const miguel = await service.register("miguel");
const target = `/api/users/${miguel.id}`;
const basic = administrator;
const patch = (json: object, headers: Record<string, string> = {}, id = miguel.id) =>
  service.send("PATCH", `/api/users/${id}`, { basic, json, headers });

describeOperation("updateUser", {
  service,
  target,
  request: () => ({ basic, json: { blocked: false } }),
  cases: {
    200: {
      "with the blocked user and another ETag": async () => {
        const before = await service.send("GET", target, { basic });
        expect(before.json).toEqual({ ...miguel, blocked: false, roles: [] });
        const blocked = await patch({ blocked: true });
        expect(blocked).toMatchObject({ status: 200, json: { ...miguel, blocked: true, roles: [] } });
        expect(blocked.header("etag")).not.toBe(before.header("etag"));
        const read = await service.send("GET", target, { basic });
        expect(read.json).toEqual(blocked.json);
        expect(read.header("etag")).toBe(blocked.header("etag"));
        await patch({ blocked: false });
      },
    },
    404: {
      "for an unknown id": async () => {
        const answer = await patch({ blocked: true }, {}, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b");
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    409: {
      "for the last administrator": async () => {
        const { id } = (await service.send("GET", "/api/users/me", { basic })).json;
        for (const json of [{ blocked: true }, { roles: [] }]) {
          expect(await patch(json, {}, id)).toMatchObject({ status: 409, problem: "last-administrator" });
        }
        expect((await service.send("GET", "/api/users/me", { basic })).json).toMatchObject({
          blocked: false,
          roles: ["administrator"],
        });
      },
    },
    412: each(
      "for If-Match: %s",
      [['"0"'], ['W/"4.0"'], ["4.0"], ['"4"'], ["x"], ['"1.0", "2.0", "3.0"'], ['"4.1"']],
      async (ifMatch) => {
        const { id } = await service.register();
        await patch({ blocked: true }, {}, id);
        await patch({ blocked: false }, {}, id);
        const changed = await patch({ blocked: true }, {}, id);
        expect(changed.header("etag")).toBe('"4.0"');
        const answer = await patch({ blocked: true }, { "if-match": ifMatch }, id);
        expect(answer).toMatchObject({ status: 412, problem: "precondition-failed" });
      },
    ),
  },
});
