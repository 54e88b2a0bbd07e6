/** Clients of OAuth in memory, for tests that need no database. */
import type { Client, ClientDefinition } from "../../src/clients/storeTypes.ts";
import { clientId } from "../../src/identifiers.ts";

export const blankDefinition: ClientDefinition = {
  name: "A client",
  authentication: "client_secret",
  grantTypes: ["client_credentials"],
  redirectUris: [],
  postLogoutRedirectUris: [],
  scopes: [],
  audiences: [],
  isFirstParty: false,
  jwks: null,
  jwksUri: null,
  logoUri: null,
  clientUri: null,
  policyUri: null,
  tosUri: null,
};

export const blankClient: Client = {
  ...blankDefinition,
  id: clientId(`lkc_${"0".repeat(32)}`),
  registration: "administrator",
  documentExpiresAt: null,
  secretDigests: [],
  version: 1,
  createdAt: new Date(),
  updatedAt: new Date(),
};
