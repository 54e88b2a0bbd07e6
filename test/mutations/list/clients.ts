import type { Mutation } from "../mutation.ts";

const authentication = "test/promises/clientAuthentication.test.ts";
const rights = "test/promises/clients.test.ts";
const documents = "test/promises/clientDocuments.test.ts";
const fetching = "test/promises/fetchJson.test.ts";

/** Clients of OAuth: who they are, who may change them, and what strangers can make the service do. */
export const clients: readonly Mutation[] = [
  {
    name: "a confidential client is accepted without its secret",
    file: "src/clients/authentication.ts",
    find: "if (client.authentication !== credentials.method) return false;",
    replace: 'if (client.authentication !== credentials.method && credentials.method !== "none") return false;',
    test: authentication,
    only: "without its secret is refused",
  },
  {
    name: "any well-formed secret is accepted",
    file: "src/clients/authentication.ts",
    find: "if (digest === undefined || !client.secretDigests.includes(digest)) return false;",
    replace: "if (digest === undefined) return false;",
    test: authentication,
    only: "the secret of another client",
  },
  {
    name: "each token of a client takes a query",
    file: "src/clients/clients.ts",
    find: "const client = clients.get(id);",
    replace: "const client = store.find(clientId(id));",
    test: "test/promises/oauthTokens.test.ts",
    only: "takes no query",
  },
  {
    name: "an assertion works twice",
    file: "src/clients/assertions.ts",
    find: "return usedProofs.use({",
    replace: "return !!usedProofs.use({",
    test: authentication,
    only: "of 20 uses of an assertion",
  },
  {
    name: "an assertion for another service is accepted",
    file: "src/clients/assertions.ts",
    find: "if (!payload || !audiences.includes(payload.aud)) return false;",
    replace: "if (!payload) return false;",
    test: authentication,
    only: "for another audience",
  },
  {
    name: "an assertion may be valid for days",
    file: "src/clients/assertions.ts",
    find: "const maxLifetimeSeconds = 300;",
    replace: "const maxLifetimeSeconds = 300_000;",
    test: authentication,
    only: "valid for too long",
  },
  {
    name: "wrong credentials of clients are not limited",
    file: "src/throttling/throttling.ts",
    find: '      await reservationIn("clients", networks).reserve();\n',
    replace: "",
    test: authentication,
    only: "limited by network",
  },
  {
    name: "concurrent requests give a client more than two secrets",
    file: "src/clients/administration/store.ts",
    find: "WHERE id = :id AND version = :version FOR NO KEY UPDATE",
    replace: "WHERE id = :id AND version = :version",
    test: rights,
    only: "50 secrets",
  },
  {
    name: "whoever may write clients gets the secret of any client",
    file: "src/clients/administration/administration.ts",
    find: `      await requireHeld(editor, client.scopes);
      if (client.authentication !== "client_secret")`,
    replace: '      if (client.authentication !== "client_secret")',
    test: rights,
    only: "nor gets its secret",
  },
  {
    name: "a client keeps the tokens of a scope that it lost",
    file: "src/clients/administration/administration.ts",
    find: "return before[member].some((one) => !kept.has(one));",
    replace: "return before[member].some((one) => !kept.has(one) && one === member);",
    test: rights,
    only: "takes rights from a client",
  },
  {
    name: "the document of a client names another one",
    file: "src/clients/documents.ts",
    find: "if (own?.client_id !== id) throw",
    replace: "if (own === undefined) throw",
    test: documents,
    only: "the id of another document",
  },
  {
    name: "the document of a client has redirect URIs of other origins",
    file: "src/clients/documents.ts",
    find: "if (!isOwn(redirectUri, id))",
    replace: "if (!isOwn(redirectUri, redirectUri))",
    test: documents,
    only: "of another origin",
  },
  {
    name: "a host with one public address is requested at another one",
    file: "src/http/fetchJson.ts",
    find: "!addresses.every(isAllowed)",
    replace: "!addresses.some(isAllowed)",
    test: fetching,
    only: "a private address among others",
  },
  {
    name: "a host name is resolved again after the check",
    file: "src/http/fetchJson.ts",
    find: "{ agent: false, headers, lookup, signal,",
    replace: "{ agent: false, headers, signal,",
    test: fetching,
    only: "the address that was checked",
  },
  {
    name: "IPv6 addresses that stand for IPv4 addresses are requested",
    file: "src/http/publicAddress.ts",
    find: " && ipv6.match(assigned)",
    replace: "",
    test: fetching,
    only: "fec0::1 is not public",
  },
];
