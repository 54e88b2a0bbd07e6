import { expect } from "vitest";
import { openConsent, redeem, registerApp, requestOf, resultOf, signedInBrowser } from "../support/authorizations.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();
await service.register("miguel");
await service.register("susan");
const basic: [string, string] = ["miguel", password];
const app = await registerApp(service, administrator);
const other = await registerApp(service, administrator);
const browser = await signedInBrowser(service, "miguel", app);

/** Allows a client. @returns the grant's path, and a code */
async function allow(client = app) {
  const { query, verifier } = requestOf(client, { prompt: "consent" });
  const { code } = resultOf(await browser.decide(await openConsent(browser, query), "allow"));
  const { json } = await service.send("GET", "/api/grants", { basic });
  const grant = json.grants.find(({ client_id }: { client_id: string }) => client_id === client.client_id);
  return { path: `/api/grants/${grant.id}`, code, verifier };
}

let target = (await allow()).path;
const isAccepted = async (bearer: string) => (await service.send("GET", "/api/sessions", { bearer })).status === 200;
const refreshed = (refresh_token: string) =>
  service.send("POST", "/oauth/token", {
    form: { grant_type: "refresh_token", refresh_token, client_id: app.client_id },
  });

describeOperation("deleteGrant", {
  service,
  target,
  request: async () => {
    // The target is the same for all requests, so that each finds the grant again.
    await service.sql(
      `INSERT INTO grants (id, user_id, client_id, audience, scopes)
       SELECT $1, users.id, $2, 'x', '{}' FROM users WHERE username = 'miguel' ON CONFLICT DO NOTHING`,
      [target.slice("/api/grants/".length), app.client_id],
    );
    return { basic };
  },
  cases: {
    204: {
      "which ends the client's sessions, tokens and codes, and no others": async () => {
        const used = await allow();
        const tokens = (await redeem(service, app, used)).json;
        const unused = await allow();
        const ofOther = (await redeem(service, other, await allow(other))).json;
        expect(await isAccepted(tokens.access_token)).toBe(true);

        expect((await service.send("DELETE", used.path, { basic })).status).toBe(204);
        expect(await isAccepted(tokens.access_token)).toBe(false);
        expect((await refreshed(tokens.refresh_token)).json.error).toBe("invalid_grant");
        expect((await redeem(service, app, unused)).json.error).toBe("invalid_grant");
        expect(await isAccepted(ofOther.access_token)).toBe(true);
      },
      "after which the client has to ask again": async () => {
        const { path } = await allow();
        await service.send("DELETE", path, { basic });
        const answer = await browser.authorize(requestOf(app).query);
        expect(answer.header("location")).toMatch(/^\/oauth\/consent/);
        target = (await allow()).path;
      },
    },
    404: {
      "for a grant of another user, which remains": async () => {
        const { path } = await allow();
        const answer = await service.send("DELETE", path, { basic: ["susan", password] });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        expect(
          (await service.send("DELETE", path.toUpperCase().replace("/API/GRANTS", "/api/grants"), { basic })).status,
        ).toBe(204);
        expect((await service.send("DELETE", path, { basic })).status).toBe(404);
      },
    },
    400: {
      "for an id that is no UUID": async () => {
        const answer = await service.send("DELETE", "/api/grants/1", { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
  },
});
