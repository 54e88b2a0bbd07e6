import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const list = async (query = "") => (await service.send("GET", `/api/apis${query}`, { basic })).json;
const audiencesOf = (apis: { audience: string }[]) => apis.map(({ audience }) => audience);

describeOperation("listApis", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with nothing, as long as no API is registered": async () => {
        expect(await list()).toEqual({ apis: [], next: null });
      },
      "with all APIs, in pages without a gap": async () => {
        const audiences = ["https://a.example/v1", "https://b.example/v1", "https://c.example/v1"];
        for (const audience of [...audiences].reverse()) {
          await service.send("POST", "/api/apis", { basic, json: { audience, name: "An API", scopes: [] } });
        }
        expect(audiencesOf((await list()).apis)).toEqual(audiences);
        const first = await list("?limit=2");
        const second = await list(`?limit=2&after=${encodeURIComponent(first.next)}`);
        expect(audiencesOf([...first.apis, ...second.apis])).toEqual(audiences);
        expect(second.next).toBeNull();
      },
    },
    400: each("for ?%s", [["limit=0"], ["limit=101"], ["after="], ["after=%23"]], async (query) => {
      const answer = await service.send("GET", `/api/apis?${query}`, { basic });
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    }),
  },
});
