import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const list = async (query = "") => (await service.send("GET", `/api/roles${query}`, { basic })).json;
const namesOf = (roles: { name: string }[]) => roles.map(({ name }) => name);

describeOperation("listRoles", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with all roles in the order of their names, in pages without a gap": async () => {
        const names = ["administrator", "clerk", "courier", "default", "zoologist"];
        for (const name of ["zoologist", "clerk", "courier"]) {
          await service.send("PUT", `/api/roles/${name}`, { basic, json: { scopes: ["account:read"] } });
        }
        const all = await list();
        expect(namesOf(all.roles)).toEqual(names);
        expect(all.next).toBeNull();
        const first = await list("?limit=3");
        const second = await list(`?limit=3&after=${first.next}`);
        expect(namesOf([...first.roles, ...second.roles])).toEqual(names);
        expect(second.next).toBeNull();
        // A page that ends with the last role has no next one.
        expect((await list("?limit=5")).next).toBeNull();
      },
    },
    400: each("for ?%s", [["limit=0"], ["limit=101"], ["limit=x"], ["after="], ["after=A"]], async (query) => {
      const answer = await service.send("GET", `/api/roles?${query}`, { basic });
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    }),
  },
});
