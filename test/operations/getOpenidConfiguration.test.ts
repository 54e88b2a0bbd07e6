import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService({ PUBLIC_URL: "https://auth.example/login" });
const path = "/.well-known/openid-configuration";

describeOperation("getOpenidConfiguration", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with the document of RFC 8414 and the members of OpenID Connect": async () => {
        const { json } = await service.send("GET", path);
        expect(json).toMatchObject({
          issuer: "https://auth.example/login",
          userinfo_endpoint: "https://auth.example/login/oauth/userinfo",
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: ["ES256"],
          request_uri_parameter_supported: false,
        });
        expect(json).toEqual((await service.send("GET", "/.well-known/oauth-authorization-server")).json);
      },
      "below the path of the issuer (Discovery, section 4)": async () => {
        const answer = await fetch(`${service.url}/login${path}`);
        expect(answer.status).toBe(200);
        expect(await answer.json()).toEqual((await service.send("GET", path)).json);
      },
      "with the algorithm that SIGNING_ALG selects": async () => {
        const rsa = await startTestService({ SIGNING_ALG: "RS256" });
        expect((await rsa.send("GET", path)).json.id_token_signing_alg_values_supported).toEqual(["RS256"]);
        await rsa.close();
      },
    },
  },
});
