import type { Mutation } from "../mutation.ts";

const delegation = "test/promises/delegation.test.ts";
const selfRegistered = "test/promises/selfRegisteredClients.test.ts";
const uris = "test/promises/redirectUris.test.ts";

/** What clients could do beyond what a user or an administrator has decided. */
export const oauthAttacks: readonly Mutation[] = [
  {
    name: "a client opens every application behind a proxy as its user",
    file: "src/forwardAuth/forwardAuth.ts",
    find: "    if (rule === anyCredential) requireNotDelegated(principal);\n",
    replace: "",
    test: delegation,
    only: "opens no application",
  },
  {
    name: "a client changes the password of its user",
    file: "src/users/handlers.ts",
    find: '    if (isDelegated(principal)) throw new Problem("insufficient-scope", refusal);\n',
    replace: "",
    test: delegation,
    only: "does not change the password",
  },
  {
    name: "a client sets the password of its user as that of another one",
    file: "src/users/administration/actor.ts",
    find: "!isDelegated(principal) && ",
    replace: "",
    test: delegation,
    only: "does not change the password",
  },
  {
    name: "a client that may know the id of its user sees the name and the roles",
    file: "src/users/handlers.ts",
    find: '    if (!maySeeProfile(principal)) throw insufficientScope(["profile"]);\n',
    replace: "",
    test: "test/operations/getCurrentUser.test.ts",
    only: "only know the user's id",
  },
  {
    name: "a client is shown with the host of another one",
    file: "src/oauth/authorization/redirectUri.ts",
    find: "return /^https?:$/.test(protocol) ? host : protocol;",
    replace: "return host || protocol;",
    test: uris,
    only: "leads to",
  },
  {
    name: "any program at a port of localhost gets codes without a question",
    file: "src/oauth/authorization/redirectUri.ts",
    find: "export const isInterceptable = (uri: string): boolean => !/^https:/i.test(uri);",
    replace: "export const isInterceptable = (uri: string): boolean => !/^https?:/i.test(uri) || loopback.test(uri);",
    test: uris,
    only: "is interceptable",
  },
  {
    name: "a link to the service leads to the page of a client that registered itself",
    file: "src/oauth/authorization/redirectUri.ts",
    find: 'registration === "administrator" || isFirstParty || isInterceptable(uri);',
    replace: 'registration !== "administrator" || isFirstParty || isInterceptable(uri);',
    test: selfRegistered,
    only: "by (an unknown scope|prompt=none|a sign-out)",
  },
  {
    name: "a sign-out leads to the page of a client that registered itself",
    file: "src/pages/handlers.ts",
    find: "if (!session && client && returnTo !== undefined && isTrusted(client, returnTo)) return",
    replace: "if (!session && client && returnTo !== undefined) return",
    test: selfRegistered,
    only: "by a sign-out",
  },
  {
    name: "a client registers a key with its secret part",
    file: "src/lib/jwk.ts",
    find: "secretMembers.some((name) => name in jwk)",
    replace: '"d" in jwk',
    test: selfRegistered,
    only: "another secret part",
  },
  {
    name: "a client registers keys that the database or the contract does not allow",
    file: "src/clients/metadata.ts",
    find: 'kid: part(1, 256, "!-~").optional(),',
    replace: "kid: z.string().optional(),",
    test: selfRegistered,
    only: "in the id",
  },
  {
    name: "a code gives tokens for another API than the client asks for",
    file: "src/oauth/grants/authorizationCode.ts",
    find: "    await requireResource(parameters, presented.digest, client.id);\n",
    replace: "",
    test: "test/promises/oauthTokens.test.ts",
    only: "for another API",
  },
  {
    name: "a device code gives tokens for another API than the client asks for",
    file: "src/oauth/grants/deviceCode.ts",
    find: "    narrowedAccess({ audience: polled.audience, scopes: [] }, { resource: parameters.resource });\n",
    replace: "",
    test: "test/promises/deviceFlow.test.ts",
    only: "for another API",
  },
];
