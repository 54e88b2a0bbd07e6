import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const { client_id } = await registerClient(service, basic);
const pathOf = (id: string, secret: string) => `/api/clients/${id}/secrets/${secret}`;
const secretsOf = async (id: string) => (await service.send("GET", `/api/clients/${id}`, { basic })).json.secrets;
const [{ id: secretId }] = await secretsOf(client_id);

describeOperation("deleteClientSecret", {
  service,
  target: pathOf(client_id, secretId),
  request: () => ({ basic }),
  cases: {
    204: {
      "and the other secret stays": async () => {
        const client = await registerClient(service, basic);
        const { json } = await service.send("POST", `/api/clients/${client.client_id}/secrets`, { basic });
        const [, first] = await secretsOf(client.client_id);
        const path = pathOf(client.client_id, first.id.toUpperCase());
        expect((await service.send("DELETE", path, { basic })).status).toBe(204);
        expect(await secretsOf(client.client_id)).toMatchObject([{ id: json.id }]);
        expect((await service.send("DELETE", path, { basic })).status).toBe(404);
      },
    },
    404: {
      "for the secret of another client": async () => {
        const other = await registerClient(service, basic);
        const answer = await service.send("DELETE", pathOf(other.client_id, secretId), { basic });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        expect(await secretsOf(client_id)).toHaveLength(1);
      },
      "for an unknown client": async () => {
        const answer = await service.send("DELETE", pathOf(`lkc_${"0".repeat(32)}`, secretId), { basic });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
