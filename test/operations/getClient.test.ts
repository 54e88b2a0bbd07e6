import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const { client_id } = await registerClient(service, basic);
const get = (id: string) => service.send("GET", `/api/clients/${id}`, { basic });

describeOperation("getClient", {
  service,
  target: `/api/clients/${client_id}`,
  request: () => ({ basic }),
  cases: {
    200: {
      "with an ETag that changes with the client, and not with its secrets": async () => {
        const first = await get(client_id);
        await service.send("POST", `/api/clients/${client_id}/secrets`, { basic });
        const second = await get(client_id);
        expect(second.header("etag")).toBe(first.header("etag"));
        expect(second.json.secrets).toHaveLength(2);
        expect(second.text).not.toContain('client_secret"');
        await service.send("PATCH", `/api/clients/${client_id}`, { basic, json: { name: "Renamed" } });
        expect((await get(client_id)).header("etag")).not.toBe(first.header("etag"));
      },
    },
    400: {
      "for an id of another form": async () => {
        for (const id of ["lkc_0", "latchkey", "http%3A%2F%2Fapp.example%2F"])
          expect(await get(id)).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
    404: {
      "for an id that is not registered": async () => {
        for (const id of [`lkc_${"0".repeat(32)}`, encodeURIComponent("https://app.example/client.json")])
          expect(await get(id)).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
