import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const list = (query = "") => service.send("GET", `/api/clients${query}`, { basic });

describeOperation("listClients", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with pages in the order of registration, without a secret": async () => {
        expect((await list()).json).toEqual({ clients: [], next: null });
        const clients = [];
        for (let number = 0; number < 5; number += 1) clients.push(await registerClient(service, basic));
        const ids = clients.map(({ client_id }) => client_id);
        const first = await list("?limit=3");
        expect(first.json.clients.map((client: { client_id: string }) => client.client_id)).toEqual(ids.slice(0, 3));
        expect(first.json.next).toBe(ids[2]);
        const second = await list(`?limit=3&after=${first.json.next}`);
        expect(second.json.clients.map((client: { client_id: string }) => client.client_id)).toEqual(ids.slice(3));
        expect(second.json.next).toBeNull();
        for (const { client_secret } of clients) expect(second.text + first.text).not.toContain(client_secret);
      },
    },
    400: each<[string]>("for %s", [["?limit=0"], ["?limit=101"], ["?after=0"], ["?after=lkc_0"]], async (query) => {
      expect(await list(query)).toMatchObject({ status: 400, problem: "invalid-request" });
    }),
  },
});
