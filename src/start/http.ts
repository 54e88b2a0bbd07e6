/** The contract, the app that serves it, and the servers for the API and the metrics. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Express } from "express";
import { createApi, createApp } from "../app.ts";
import type { AuditStore } from "../audit/storeTypes.ts";
import { createAuthenticator, type ServiceAuthenticator } from "../authenticator.ts";
import type { Config } from "../config/config.ts";
import { outsideRequests } from "../database/database.ts";
import { isMigrated } from "../database/migrate.ts";
import { createWriteCheck } from "../database/writeCheck.ts";
import { loadDocumentation } from "../documentation/documentation.ts";
import { createForwardAuth } from "../forwardAuth/forwardAuth.ts";
import { cannotListen } from "../http/addresses.ts";
import { basePath } from "../http/basePath.ts";
import { shareOfOneNetwork, trustedProxy } from "../http/connectionLimits.ts";
import { listen, type RunningServer, type ServerOptions } from "../http/server.ts";
import type { Certificate } from "../http/tls.ts";
import { follow } from "../lib/follow.ts";
import { packageFile } from "../lib/package.ts";
import type { OperationId } from "../openapi/binding.ts";
import { type Contract, loadContract } from "../openapi/contract.ts";
import { authorize } from "../openapi/guard.ts";
import { oauthPaths } from "../openapi/oauthPaths.ts";
import { createResponseCheck } from "../openapi/responseCheck.ts";
import { type RequestValidator, requestValidator } from "../openapi/validation.ts";
import { bodyLimits, type HandlerDependencies, handlers } from "../operations.ts";
import { requestContext } from "../requestContext.ts";
import { issuerOf } from "../tokens/accessTokens.ts";
import { warmUp } from "../warmUp.ts";
import type { StartContext } from "./context.ts";
import type { Domain } from "./domain.ts";
import type { Keys } from "./keys.ts";
import { openOAuth } from "./oauth.ts";
import type { Observability } from "./observability.ts";
import { openPages } from "./pages.ts";
import type { Storage } from "./storage.ts";

export type Http = Pick<RunningServer, "url" | "reload"> & { drain(skipGrace: AbortSignal): Promise<void> };

type EarlierStages = {
  observability: Observability;
  storage: Storage;
  auditEvents: Pick<AuditStore, "list">;
  keys: Keys;
  domain: Domain;
};

/** The contract, and what is compiled from it. */
export type CompiledContract = { contract: Contract; validate: RequestValidator };

/** Needs no earlier stage. @throws {ContractError} */
export async function openContract({ publicUrl }: Config): Promise<CompiledContract> {
  const contract = await loadContract(packageFile("openapi.yaml"), publicUrl);
  return { contract, validate: requestValidator(contract, bodyLimits) };
}

/** @throws {StartError} */
export async function openHttp(
  context: StartContext,
  {
    certificate,
    compiled,
    ...earlier
  }: EarlierStages & { certificate: Certificate | undefined; compiled: CompiledContract },
): Promise<Http> {
  const { config, log, lifecycle } = context;
  const { contract } = compiled;
  let isStopping = false;
  const authenticator = openAuthenticator(earlier);
  const services = await collectServices(context, earlier, { contract, authenticator, isStopping: () => isStopping });
  const app = await createWarmApp(context, earlier, { ...compiled, authenticator, services });
  lifecycle.closing.throwIfAborted();
  const { host, port } = config;
  const options = serverOptions(config, certificate, earlier.observability, contract);
  const server = await listen(app, options, log).catch(cannotListen("", host, port));
  lifecycle.add("servers", "server", server.close);
  lifecycle.add("servers", "revocation feed", earlier.keys.revocationFeed.stop);
  await serveMetrics(context, earlier, { contract, server });
  return {
    url: server.url,
    reload: server.reload,
    async drain(skipGrace) {
      isStopping = true;
      server.drain();
      earlier.keys.revocationFeed.stop();
      await sleep(config.shutdownGraceSeconds * 1000, undefined, { signal: skipGrace }).catch(() => {});
    },
  };
}

const openAuthenticator = ({
  observability: { audit },
  keys: { tokens, revocations },
  domain: { users, access, apiKeyVerification, verifyDpopProof },
}: EarlierStages): ServiceAuthenticator =>
  createAuthenticator({
    access,
    users,
    tokens,
    verifyApiKey: apiKeyVerification.verify,
    revocations,
    verifyDpopProof,
    audit,
  });

async function collectServices(
  context: StartContext,
  earlier: EarlierStages,
  parts: { contract: Contract; authenticator: ServiceAuthenticator; isStopping: () => boolean },
): Promise<HandlerDependencies> {
  const { contract, authenticator, isStopping } = parts;
  const { config } = context;
  const { observability, storage, auditEvents, keys, domain } = earlier;
  return {
    ...openPages(context, domain),
    access: domain.access,
    users: domain.users,
    administration: domain.administration,
    sessions: domain.sessions,
    apiKeys: domain.apiKeys,
    roles: domain.roles,
    apis: domain.apis,
    clientAdministration: domain.clientAdministration,
    registerClient: domain.registerClient,
    hasClientDocuments: config.clientIdMetadata,
    hasClientRegistration: config.clientRegistration,
    forwardAuth: createForwardAuth({
      authenticator,
      access: domain.access,
      apis: domain.protectedApis,
      revocations: keys.revocations,
      isTrustedProxy: trustedProxy(config.trustProxy),
      issuer: issuerOf(config),
    }),
    grants: domain.grants,
    tokens: keys.tokens,
    keys: keys.signingKeys,
    revocationFeed: keys.revocationFeed,
    authorizeIntrospection: guardOf(contract, "introspectToken", authenticator),
    ...openOAuth(context, earlier),
    browserSessions: domain.browserSessions,
    clock: storage.clock,
    authorizationPageUrl: config.authorizationPageUrl,
    issuer: issuerOf(config),
    documentation: config.documentation ? await loadDocumentation(packageFile("dist/docs.html"), contract) : undefined,
    publicUrl: config.publicUrl,
    isRegistrationOpen: config.registration === "open",
    isMigrated: () => isMigrated(storage.database),
    requireWritable: createWriteCheck(outsideRequests(storage.database)),
    audit: observability.audit,
    auditEvents,
    isStopping,
  };
}

/** Returns the function with which an operation's handler authorizes its caller. */
function guardOf({ operations }: Contract, id: OperationId, authenticator: ServiceAuthenticator) {
  const operation = operations.find((one) => one.id === id);
  if (!operation) throw new Error(`the contract has no operation ${id}`);
  return (authorization: string | undefined) =>
    follow(authorize(operation, authorization, authenticator), (principal) => {
      requestContext().principal = principal;
    });
}

/** Warms up the API with an app that does not count, trace or log requests. @returns the app that counts, traces and logs them */
async function createWarmApp(
  { config, log }: StartContext,
  { observability: { metrics, tracing } }: EarlierStages,
  parts: CompiledContract & { authenticator: ServiceAuthenticator; services: HandlerDependencies },
): Promise<Express> {
  const { contract, validate, authenticator, services } = parts;
  const check = createResponseCheck(contract.document, config.contractCheck, config.contractCheckPercent, (fault) => {
    log.error(fault, "a response breaks the contract");
    metrics?.contractBroken();
  });
  const api = createApi({
    contract,
    validate,
    handlers: handlers(services),
    authenticator,
    config,
    check,
    errorPage: services.pages.errorPage,
  });
  const errorLog = log.child({}, { level: "error" });
  await warmUp(createApp(api, { log: errorLog }), errorLog, config.documentation ? 200 : 404);
  return createApp(api, { log, countRequests: metrics?.countRequests, trace: tracing?.request });
}

/** The workers share the limits on connections. */
function serverOptions(
  config: Config,
  certificate: Certificate | undefined,
  { metrics }: Observability,
  { operations }: Contract,
): ServerOptions {
  const perNetwork = config.maxConnectionsPerNetwork ?? shareOfOneNetwork(config.maxConnections);
  return {
    host: config.host,
    port: config.port,
    certificate,
    connectionLimits: {
      total: Math.ceil(config.maxConnections / config.workers),
      perNetwork: Math.ceil(perNetwork / config.workers),
      isTrustedProxy: trustedProxy(config.trustProxy),
    },
    onConnectionRefused: metrics?.connectionRefused,
    isBehindProxy: config.trustProxy !== undefined,
    base: basePath(config.publicUrl),
    isOAuthPath: oauthPaths(operations),
  };
}

/** Registers the gauges, and serves the metrics, except in a worker, whose primary serves them. */
async function serveMetrics(
  { config, log, lifecycle, worker }: StartContext,
  { observability, storage, keys: { revocations, revocationFeed, signingKeys }, domain }: EarlierStages,
  { contract, server }: { contract: Contract; server: RunningServer },
): Promise<void> {
  const { metrics } = observability;
  if (!metrics) return;
  metrics.registerGauges({
    operations: contract.operations.filter(({ responses }) => responses.has(500)).map(({ id }) => id),
    connections: server.connections,
    hashing: domain.hasher.load,
    database: storage.database.load,
    auditEventsDropped: () => observability.auditWriter.current?.dropped() ?? 0,
    revocations: () => ({
      stalenessSeconds: revocations.stalenessSeconds(),
      size: revocations.size(),
      followers: revocationFeed.followers(),
    }),
    signingAlgorithm: signingKeys.algorithm,
  });
  const { metricsHost, metricsPort } = config;
  if (worker || metricsPort === undefined) return;
  const metricsServer = await metrics
    .serve(metricsHost, metricsPort, log)
    .catch(cannotListen("METRICS_", metricsHost, metricsPort));
  lifecycle.add("servers", "metrics", metricsServer.close);
  log.info({ url: metricsServer.url }, "metrics");
}
