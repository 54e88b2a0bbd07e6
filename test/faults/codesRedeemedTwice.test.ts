/** An authorization code works once, on whichever instances it is redeemed at the same time. */
import { expect, test } from "vitest";
import { registerClient } from "../support/oauthClients.ts";
import { issueCode, redirectUri } from "../support/oauthCodes.ts";
import { startTestService } from "../support/service.ts";

const rounds = 200;

test("in 200 rounds on two instances, each code has one winner, and its session is ended", async () => {
  const one = await startTestService();
  const other = await startTestService({}, one.databaseUrl);
  const grant = { grant_types: ["authorization_code"], scopes: ["account:read"], redirect_uris: [redirectUri] };
  const { client_id } = await registerClient(one, await one.administrator(), { ...grant, public: true });
  const user = await one.register();
  for (let round = 0; round < rounds; round += 1) {
    const form = { ...(await issueCode(one, { clientId: client_id, userId: user.id })), client_id };
    const answers = await Promise.all(
      [one, other, one, other].map((service) => service.send("POST", "/oauth/token", { form })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, 400, 400, 400]);
  }
  const counts = await one.sql("SELECT count(*)::integer, count(ended_at)::integer AS ended FROM sessions");
  expect(counts).toEqual([{ count: rounds, ended: rounds }]);
});
