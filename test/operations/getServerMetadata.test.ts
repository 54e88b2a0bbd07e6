import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService({ PUBLIC_URL: "https://auth.example/login" });
const path = "/.well-known/oauth-authorization-server";

describeOperation("getServerMetadata", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with URLs below PUBLIC_URL, at the path of RFC 8414 for an issuer with a path, too": async () => {
        for (const target of [path, `/login${path}`, `${path}/login`, `${path}/login?`]) {
          const answer = await fetch(service.url + target);
          expect(answer.status, target).toBe(200);
          expect(await answer.json()).toEqual({
            issuer: "https://auth.example/login",
            authorization_endpoint: "https://auth.example/login/oauth/authorize",
            authorization_response_iss_parameter_supported: true,
            code_challenge_methods_supported: ["S256"],
            response_modes_supported: ["query"],
            prompt_values_supported: ["none", "login", "consent", "select_account"],
            jwks_uri: "https://auth.example/login/.well-known/jwks.json",
            introspection_endpoint: "https://auth.example/login/oauth/introspect",
            introspection_endpoint_auth_methods_supported: [
              "client_secret_basic",
              "client_secret_post",
              "private_key_jwt",
              "Bearer",
            ],
            revocation_endpoint: "https://auth.example/login/oauth/revoke",
            revocation_endpoint_auth_methods_supported: [
              "client_secret_basic",
              "client_secret_post",
              "private_key_jwt",
              "none",
            ],
            scopes_supported: expect.arrayContaining(["account:read", "tokens:introspect"]),
            response_types_supported: ["code"],
            grant_types_supported: expect.arrayContaining([
              "client_credentials",
              "authorization_code",
              "refresh_token",
            ]),
            token_endpoint: "https://auth.example/login/oauth/token",
            token_endpoint_auth_methods_supported: [
              "client_secret_basic",
              "client_secret_post",
              "private_key_jwt",
              "none",
            ],
            token_endpoint_auth_signing_alg_values_supported: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"],
            introspection_endpoint_auth_signing_alg_values_supported: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"],
            revocation_endpoint_auth_signing_alg_values_supported: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"],
            dpop_signing_alg_values_supported: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"],
            device_authorization_endpoint: "https://auth.example/login/oauth/device-authorization",
            end_session_endpoint: "https://auth.example/login/oauth/sign-out",
            userinfo_endpoint: "https://auth.example/login/oauth/userinfo",
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["ES256"],
            claims_supported: expect.arrayContaining(["sub", "nonce", "at_hash"]),
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            service_documentation: "https://auth.example/login/docs",
          });
          expect(answer.headers.get("cache-control")).toBe("public, max-age=300");
        }
        expect((await service.send("GET", path)).status).toBe(200);
      },
      "without documentation, if there is none": async () => {
        const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
        expect((await without.send("GET", path)).json).not.toHaveProperty("service_documentation");
        await without.close();
      },
    },
  },
});
