/** API keys: their management, their verification, and the record of their last use. */
import type { Access } from "../access/rights.ts";
import { roleStore } from "../access/store.ts";
import { type ApiKeys, createApiKeys } from "../apiKeys/apiKeys.ts";
import { apiKeyStore } from "../apiKeys/store.ts";
import { verificationStore } from "../apiKeys/verification/store.ts";
import { type ApiKeyVerification, createApiKeyVerification } from "../apiKeys/verification/verification.ts";
import { outsideRequests } from "../database/database.ts";
import { unlessOutage } from "../database/errors.ts";
import { collectLastUses } from "../lib/lastUses.ts";
import { clientNetworks } from "../requestContext.ts";
import { actorOf } from "../users/administration/actor.ts";
import type { Administration } from "../users/administration/administration.ts";
import type { StartContext } from "./context.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

type EarlierParts = {
  observability: Observability;
  storage: Storage;
  keys: Keys;
  access: Access;
  administration: Administration;
};

export function openApiKeys(
  { config, log, lifecycle }: StartContext,
  {
    observability: { audit },
    storage: { database, clock },
    keys: { revocations },
    access,
    administration,
  }: EarlierParts,
): { apiKeys: ApiKeys; apiKeyVerification: ApiKeyVerification } {
  const lastUses = collectLastUses({
    store: verificationStore(outsideRequests(database)),
    onError: unlessOutage((err) => log.warn({ err }, "could not record the last use of API keys")),
  });
  lifecycle.add("background", "API keys", lastUses.close);
  return {
    apiKeys: createApiKeys({
      store: apiKeyStore(database),
      access,
      requireAdministrable: async (principal, userId) =>
        void (await administration.requireAuthority(userId, await actorOf(access, principal, clientNetworks()))),
      findApiScopes: roleStore(database).findApiScopes,
      enforce: revocations.apply,
      clock,
      audit,
      keysPerUser: config.apiKeysPerUser,
    }),
    apiKeyVerification: createApiKeyVerification({
      store: verificationStore(database),
      revocations,
      lastUses,
      clock,
      audit,
    }),
  };
}
