import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const { client_id } = await registerClient(service, basic);
const target = `/api/clients/${client_id}`;
const remove = (path: string, headers?: Record<string, string>) =>
  service.send("DELETE", path, { basic, ...(headers && { headers }) });

describeOperation("deleteClient", {
  service,
  target,
  request: () => ({ basic }),
  cases: {
    204: {
      "and the client is gone": async () => {
        const other = `/api/clients/${(await registerClient(service, basic)).client_id}`;
        const etag = (await service.send("GET", other, { basic })).header("etag") ?? "";
        expect((await remove(other, { "If-Match": etag })).status).toBe(204);
        expect((await service.send("GET", other, { basic })).status).toBe(404);
        expect((await remove(other)).status).toBe(404);
      },
    },
    404: {
      "for an unknown client": async () => {
        expect(await remove(`/api/clients/lkc_${"0".repeat(32)}`)).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    412: {
      "if the client has changed": async () => {
        expect(await remove(target, { "If-Match": '"0"' })).toMatchObject({
          status: 412,
          problem: "precondition-failed",
        });
        expect((await service.send("GET", target, { basic })).status).toBe(200);
      },
    },
  },
});
