import type { Mutation } from "../mutation.ts";

const openidClient = "test/promises/openidClient.test.ts";
const oauth4webapi = "test/promises/oauth4webapi.test.ts";
const mcp = "test/promises/mcpClient.test.ts";

/** What programs and libraries of others check or need. */
export const oauthLibraries: readonly Mutation[] = [
  {
    name: "the response of an authorization does not name the issuer",
    file: "src/oauth/authorization/authorizations.ts",
    find: "{ ...result, state, iss: issuer }",
    replace: "{ ...result, state }",
    test: oauth4webapi,
    only: "signs a user in",
  },
  {
    name: "the token endpoint challenges with Bearer",
    file: "src/clients/authentication.ts",
    find: '    requestContext().acceptedSchemes = ["basicAuth"];\n',
    replace: "",
    test: openidClient,
    only: "a machine gets a token",
  },
  {
    name: "assertions with the algorithm name of RFC 9864 are rejected",
    file: "src/clients/assertions.ts",
    find: '["ES256", "Ed25519", "EdDSA", "RS256", "PS256"]',
    replace: '["ES256", "EdDSA", "RS256", "PS256"]',
    test: oauth4webapi,
    only: "with a key for Ed25519",
  },
  {
    name: "an ID token has another nonce",
    file: "src/oauth/idTokens.ts",
    find: "      nonce,\n",
    replace: '      nonce: nonce && nonce + "x",\n',
    test: openidClient,
    only: "a user signs in",
  },
  {
    name: "an ID token is for the issuer",
    file: "src/oauth/idTokens.ts",
    find: "aud: clientId,",
    replace: "aud: issuer,",
    test: openidClient,
    only: "a user signs in",
  },
  {
    name: "an app on a desktop cannot choose its port",
    file: "src/oauth/authorization/redirectUri.ts",
    find: "(isLoopback(uri) && registered.some(",
    replace: '(uri === "" && registered.some(',
    test: mcp,
    only: "an administrator has registered",
  },
];
