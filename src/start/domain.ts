/** Users, sessions, rate limits, and the cleanup of expired rows. */
import { type Apis, createApis } from "../access/apis.ts";
import { createGrants, type Grants } from "../access/grants.ts";
import { type Access, createAccess } from "../access/rights.ts";
import { createRoles, type Roles } from "../access/roles.ts";
import { apiStore, rightsStore, roleStore } from "../access/store.ts";
import type { ApiKeys } from "../apiKeys/apiKeys.ts";
import type { ApiKeyVerification } from "../apiKeys/verification/verification.ts";
import { unusedClients } from "../clients/unused/store.ts";
import type { Config } from "../config/config.ts";
import { daySeconds } from "../config/values.ts";
import { startCleanup } from "../database/cleanup.ts";
import { outsideRequests } from "../database/database.ts";
import { unlessOutage } from "../database/errors.ts";
import { type ProtectedApi, protectedApis } from "../forwardAuth/protectedApis.ts";
import { type PasswordHasher, passwordHasher, type Schedule } from "../passwords/hashing.ts";
import { passwordPolicy } from "../passwords/policy.ts";
import { Problem } from "../problems/problems.ts";
import type { RevocableCache } from "../revocations/cache.ts";
import { type BrowserSessions, createBrowserSessions } from "../sessions/browser/browserSessions.ts";
import { browserSessionStore } from "../sessions/browser/store.ts";
import { refreshSecrets } from "../sessions/refreshSecrets.ts";
import { createSessions, type Sessions } from "../sessions/sessions.ts";
import { sessionStore } from "../sessions/store.ts";
import type { SessionTimes } from "../sessions/storeTypes.ts";
import { throttleKeys } from "../throttling/keys.ts";
import type { Limits } from "../throttling/limits.ts";
import { attemptStore } from "../throttling/store.ts";
import { createThrottle, noThrottle, type Throttle } from "../throttling/throttling.ts";
import { issuerOf, ownAudiences } from "../tokens/accessTokens.ts";
import { policyEnforcer } from "../users/acceptance.ts";
import { type Administration, createAdministration } from "../users/administration/administration.ts";
import { administrationStore } from "../users/administration/store.ts";
import { userStore } from "../users/store.ts";
import { createUsers, type Users } from "../users/users.ts";
import { openApiKeys } from "./apiKeys.ts";
import { type OpenClients, openClients } from "./clients.ts";
import type { StartContext } from "./context.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

type AccessControl = {
  access: Access;
  grants: Grants;
  roles: Roles;
  apis: Apis;
  protectedApis: RevocableCache<ProtectedApi>;
};

export type Domain = AccessControl &
  OpenClients & {
    hasher: PasswordHasher;
    users: Users;
    administration: Administration;
    sessions: Sessions;
    browserSessions: BrowserSessions;
    apiKeys: ApiKeys;
    apiKeyVerification: ApiKeyVerification;
  };

type EarlierStages = { observability: Observability; storage: Storage; keys: Keys };

export function openDomain(context: StartContext, earlier: EarlierStages): Domain {
  const hasher = createHasher(context, earlier.observability);
  const { users, administration, throttle } = createUserAccounts(context, { ...earlier, hasher });
  const accessControl = createAccessControl(context, earlier);
  const sessions = createUserSessions(context, { ...earlier, users, grants: accessControl.grants });
  const browserSessions = createBrowserSessions({
    store: browserSessionStore(earlier.storage.database),
    sessions,
    idleSeconds: context.config.sessionIdleDays * daySeconds,
  });
  openCleanup(context, earlier.storage);
  const keys = openApiKeys(context, { ...earlier, access: accessControl.access, administration });
  const clients = openClients(context, { ...earlier, access: accessControl.access, throttle });
  return { ...accessControl, hasher, users, administration, sessions, browserSessions, ...keys, ...clients };
}

function createAccessControl(
  { config, log }: StartContext,
  { observability, storage, keys }: EarlierStages,
): AccessControl {
  const { audit } = observability;
  const { revocations } = keys;
  const { database } = storage;
  // Requests share cached values, so they are read outside of any one request.
  const forCaches = outsideRequests(database);
  const issuer = issuerOf(config);
  const access = createAccess({ store: rightsStore(forCaches), revocations, audit });
  const ttlSeconds = config.tokenTtlSeconds;
  const changes = { enforce: revocations.apply, audit };
  return {
    access,
    grants: createGrants({ store: apiStore(forCaches), access, revocations, issuer, ttlSeconds }),
    roles: createRoles({ store: roleStore(database), access, ...changes }),
    protectedApis: protectedApis({
      store: apiStore(forCaches),
      revocations,
      onUnusable: (audience, err) => log.error({ audience, err }, "could not read the contract of an API"),
    }),
    apis: createApis({ store: apiStore(database), ownAudiences: ownAudiences(issuer), ...changes }),
  };
}

function createHasher({ config, log }: StartContext, { metrics, tracing }: Observability): PasswordHasher {
  const hasher = passwordHasher(
    { memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes },
    (message) => log.warn(message),
    { waited: metrics?.waited },
    config.workers,
  );
  return tracing?.hashing(hasher) ?? hasher;
}

function createUserAccounts(
  { config, log }: StartContext,
  { observability, storage, keys, hasher }: EarlierStages & { hasher: PasswordHasher },
): Pick<Domain, "users" | "administration"> & { throttle: Throttle } {
  if (!config.throttle) log.warn("THROTTLE=off: passwords can be guessed without limit. Use it for benchmarks only.");
  const schedule = reportStuckDatabase(hasher.schedule, storage.database.isStuck);
  const counterKeys = throttleKeys(keys.secretKeys.counting);
  const store = userStore(storage.database);
  const throttle: Throttle = config.throttle
    ? createThrottle({
        limits: limitsOf(config),
        store: attemptStore(storage.database),
        keys: counterKeys,
        schedule,
        clock: storage.clock,
      })
    : noThrottle(schedule, store.findAccount);
  const parts = {
    hasher: { ...hasher, schedule },
    enforcePolicy: policyEnforcer(passwordPolicy(config)),
    enforce: keys.revocations.apply,
    audit: observability.audit,
  };
  const users = createUsers({
    ...parts,
    store,
    throttle,
    confirmServer: storage.confirmServer,
    networkKey: (username, network) => counterKeys.knownNetworks(username, network)[0],
    clock: storage.clock,
  });
  const administration = createAdministration({ ...parts, store: administrationStore(storage.database) });
  return { users, administration, throttle };
}

/** If a sign-in times out in the hashing queue while a query hangs, the cause is the database: reports `database-unavailable`. */
const reportStuckDatabase =
  (schedule: Schedule, isDatabaseStuck: () => boolean): Schedule =>
  (turn, task) =>
    schedule(turn, task).catch((error: unknown) => {
      const isOverloaded = error instanceof Problem && error.slug === "overloaded";
      throw isOverloaded && isDatabaseStuck() ? new Problem("database-unavailable", { cause: error }) : error;
    });

const limitsOf = (config: Config): Limits => ({
  "account-address": config.throttleAccountAddress,
  account: config.throttleAccount,
  address: config.throttleAddress,
  registrations: config.throttleRegistrations,
  consecutive: config.throttleConsecutive,
  clients: config.throttleAddress,
  "client-registrations": config.throttleRegistrations,
});

export const sessionTimesOf = (config: Config): SessionTimes => ({
  idleSeconds: config.sessionIdleDays * daySeconds,
  lifetimeSeconds: config.sessionLifetimeDays * daySeconds,
  graceSeconds: config.refreshGraceSeconds,
  sessionsPerUser: config.sessionsPerUser,
});

function createUserSessions(
  { config }: StartContext,
  { observability, storage, keys, users, grants }: EarlierStages & { users: Users; grants: Grants },
): Sessions {
  return createSessions({
    store: sessionStore(storage.database),
    tokens: keys.tokens,
    grants,
    secrets: refreshSecrets(keys.secretKeys.sealing),
    times: sessionTimesOf(config),
    secondsVisible: keys.commits.secondsVisible,
    confirmServer: storage.confirmServer,
    // If this fails, the network is remembered at the next network change.
    onNetworkChange: (user, network, sessionId) => void users.rememberNetwork(user, network, sessionId).catch(() => {}),
    enforce: keys.revocations.apply,
    audit: observability.audit,
  });
}

function openCleanup({ config, log, lifecycle }: StartContext, { database }: Storage): void {
  const cleanup = startCleanup(database, {
    auditRetentionDays: config.auditRetentionDays,
    others: [unusedClients],
    onDeleted: (deleted) => log.info({ deleted }, "deleted expired rows"),
    onError: unlessOutage((err) => log.warn({ err }, "could not delete expired rows")),
  });
  lifecycle.add("background", "cleanup", cleanup.close);
}
