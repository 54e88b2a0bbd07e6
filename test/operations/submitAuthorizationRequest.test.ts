import { expect } from "vitest";
import { createBrowser, registerApp, requestOf, resultOf } from "../support/authorizations.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const app = await registerApp(service, await service.administrator());
const form = requestOf(app).query as Record<string, string>;
const target = "/oauth/authorize";
const type = { "content-type": "application/x-www-form-urlencoded" };

describeOperation("submitAuthorizationRequest", {
  service,
  request: () => ({ form }),
  cases: {
    303: {
      "to the same request as a GET, from a page of any origin": async () => {
        const headers = { origin: "https://app.example", "sec-fetch-site": "cross-site" };
        const answer = await service.send("POST", target, { form, headers });
        expect(answer.status).toBe(303);
        expect(resultOf(answer)).toEqual(form);
        expect(answer.headers["set-cookie"]).toBeUndefined();
        const next = await createBrowser(service).get(answer.header("location") ?? "");
        expect(next.header("location")).toMatch(/^\/oauth\/sign-in\?/);
      },
      "with repeated and unknown parameters, which the GET judges": async () => {
        const answer = await service.send("POST", target, { body: "state=1&state=2&&x&y=%20+", headers: type });
        expect(answer.header("location")).toBe("/oauth/authorize?state=1&state=2&x=&y=%20%20");
      },
      "in ASCII, without control characters": async () => {
        const answer = await service.send("POST", target, { body: "state=π\r\nSet-Cookie:a=b", headers: type });
        expect(answer.header("location")).toBe("/oauth/authorize?state=%CF%80%0D%0ASet-Cookie%3Aa%3Db");
      },
    },
    400: {
      "for a malformed escape": async () => {
        const answer = await service.send("POST", target, { body: "state=%zz", headers: type });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "for a body that is not UTF-8": async () => {
        const answer = await service.send("POST", target, { body: Buffer.from([0x61, 0x3d, 0xff]), headers: type });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "for no body": async () => {
        const answer = await service.send("POST", target, { headers: type });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
    413: {
      "for a request that would not fit into a URL": async () => {
        const answer = await service.send("POST", target, { form: { ...form, state: "x".repeat(12_300) } });
        expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
      },
    },
  },
});
