/** Clients of OAuth: their lookup, their authentication, and the record of the last use of their secrets. */
import type { Logger } from "pino";
import type { ApiStore } from "../access/apis.ts";
import type { Access } from "../access/rights.ts";
import { apiStore, roleStore } from "../access/store.ts";
import { type ClientAdministration, createClientAdministration } from "../clients/administration/administration.ts";
import { clientAdministrationStore } from "../clients/administration/store.ts";
import { createAssertions } from "../clients/assertions.ts";
import { type AuthenticateClient, createClientAuthentication } from "../clients/authentication.ts";
import { type Clients, createClients } from "../clients/clients.ts";
import { createClientDocuments } from "../clients/documents.ts";
import { createClientKeySets } from "../clients/keySets.ts";
import { createClientRegistration, type RegisterClient } from "../clients/registration.ts";
import { clientStore, documentStore } from "../clients/store.ts";
import { outsideRequests } from "../database/database.ts";
import { unlessOutage } from "../database/errors.ts";
import { createFetchJson } from "../http/fetchJson.ts";
import { collectLastUses } from "../lib/lastUses.ts";
import { createDpop, type VerifyDpopProof } from "../oauth/dpop.ts";
import { usedProofStore } from "../oauth/store.ts";
import { createUsedProofs } from "../oauth/usedProofs.ts";
import type { Throttle } from "../throttling/throttling.ts";
import { issuerOf } from "../tokens/accessTokens.ts";
import type { StartContext } from "./context.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

export type OpenClients = {
  clients: Clients;
  authenticateClient: AuthenticateClient;
  verifyDpopProof: VerifyDpopProof;
  clientAdministration: ClientAdministration;
  registerClient: RegisterClient;
};

type EarlierParts = { observability: Observability; storage: Storage; keys: Keys; access: Access; throttle: Throttle };

export function openClients(
  { config, log, lifecycle }: StartContext,
  { observability: { audit }, storage: { database, clock }, keys: { revocations }, access, throttle }: EarlierParts,
): OpenClients {
  const issuer = issuerOf(config);
  const forCaches = clientStore(outsideRequests(database));
  const fetchJson = createFetchJson();
  const allowed = { scopes: config.clientRegistrationScopes, audiences: config.clientRegistrationAudiences ?? [] };
  const documents = createClientDocuments({
    fetchJson,
    store: documentStore(database),
    allowed,
    throttle,
    enforce: revocations.apply,
    clock,
    audit,
  });
  const clients = createClients({
    store: forCaches,
    documents: config.clientIdMetadata ? documents : undefined,
    revocations,
  });
  const usedProofs = createUsedProofs(usedProofStore(database));
  const lastUses = collectLastUses({
    store: forCaches,
    onError: unlessOutage((err) => log.warn({ err }, "could not record the last use of client secrets")),
  });
  lifecycle.add("background", "client secrets", lastUses.close);
  void warnOfUnknownApis(allowed.audiences, apiStore(outsideRequests(database)), log);
  return {
    clients,
    verifyDpopProof: createDpop({ issuer, usedProofs, clock }),
    clientAdministration: createClientAdministration({
      store: clientAdministrationStore(database),
      access,
      findApiScopes: roleStore(database).findApiScopes,
      enforce: revocations.apply,
      audit,
    }),
    registerClient: createClientRegistration({
      store: clientAdministrationStore(database),
      allowed: config.clientRegistration ? allowed : undefined,
      throttle,
      audit,
    }),
    authenticateClient: createClientAuthentication({
      clients,
      verifyAssertion: createAssertions({
        audiences: [issuer, `${issuer}/oauth/token`],
        keySets: createClientKeySets(fetchJson),
        usedProofs,
        clock,
      }),
      throttle,
      lastUses,
      clock,
      audit,
    }),
  };
}

/** An API that is named but not registered may be a typing error, or may be registered later. Until then, no client gets a token. */
async function warnOfUnknownApis(
  audiences: readonly string[],
  apis: Pick<ApiStore, "find">,
  log: Logger,
): Promise<void> {
  for (const audience of audiences) {
    const api = await apis.find(audience).catch(() => "unknown");
    if (!api) log.warn({ audience }, "CLIENT_REGISTRATION_AUDIENCES names an API that is not registered");
  }
}
