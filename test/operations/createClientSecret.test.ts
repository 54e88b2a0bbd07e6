import { expect } from "vitest";
import { parseClientSecret } from "../../src/clients/secrets.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const add = (id: string) => service.send("POST", `/api/clients/${id}/secrets`, { basic });
const secretsOf = async (id: string) => (await service.send("GET", `/api/clients/${id}`, { basic })).json.secrets;
const { client_id } = await registerClient(service, basic);

describeOperation("createClientSecret", {
  service,
  target: `/api/clients/${client_id}/secrets`,
  async request() {
    await service.sql("DELETE FROM client_secrets WHERE client_id = $1", [client_id]);
    return { basic };
  },
  cases: {
    201: {
      "with a second secret, listed first": async () => {
        const client = await registerClient(service, basic);
        const [first] = await secretsOf(client.client_id);
        const { status, json } = await add(client.client_id);
        expect(status).toBe(201);
        expect(parseClientSecret(json.client_secret)).toBeDefined();
        expect(json.client_secret).not.toBe(client.client_secret);
        const { client_secret, ...listed } = json;
        expect(client_secret.endsWith(listed.last_four)).toBe(true);
        expect(await secretsOf(client.client_id)).toEqual([listed, first]);
      },
    },
    404: {
      "for an unknown client": async () => {
        expect(await add(`lkc_${"0".repeat(32)}`)).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    409: {
      "for a third secret": async () => {
        const client = await registerClient(service, basic);
        await add(client.client_id);
        expect(await add(client.client_id)).toMatchObject({ status: 409, problem: "too-many-client-secrets" });
      },
      "for a public client": async () => {
        const members = { grant_types: ["authorization_code"], redirect_uris: ["https://app.example/"], public: true };
        const client = await registerClient(service, basic, members);
        expect(await add(client.client_id)).toMatchObject({ status: 409, problem: "too-many-client-secrets" });
      },
    },
  },
});
