/** Wires the service from its settings: database, keys, users, tokens, contract, server. Nothing else knows the whole. */
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { createAccounts } from "./accounts.ts";
import { createApp } from "./app.ts";
import type { Audit } from "./audit/audit.ts";
import { createAuthenticator } from "./authenticator.ts";
import { type Config, cannotListen } from "./config/config.ts";
import { daySeconds } from "./config/values.ts";
import { sweepRegularly } from "./database/cleanup.ts";
import { followDatabaseClock } from "./database/clock.ts";
import { commitHistory } from "./database/commits.ts";
import { outsideRequests } from "./database/database.ts";
import { openDatabases } from "./database/databases.ts";
import { exceptOutages } from "./database/errors.ts";
import { isMigrated } from "./database/migrate.ts";
import { openMigratedPostgres, type Postgres } from "./database/open.ts";
import { commitSomething, writableCheck } from "./database/writable.ts";
import { loadDocumentation } from "./documentation/documentation.ts";
import { checkAddresses } from "./http/addresses.ts";
import { basePath } from "./http/basePath.ts";
import { shareOfOneNetwork, trustedProxy } from "./http/connectionLimits.ts";
import { listen } from "./http/server.ts";
import { readCertificate } from "./http/tls.ts";
import { loadTracing } from "./observability/loadTracing.ts";
import { auditLog } from "./observability/log.ts";
import type { Reading } from "./observability/metrics.ts";
import { loadContract } from "./openapi/contract.ts";
import { createAnswerCheck } from "./openapi/responseCheck.ts";
import { handlers, type Services } from "./operations.ts";
import { passwordHasher } from "./passwords/hashing.ts";
import { type Start, uncancelled } from "./process/shutdown.ts";
import { followRevocations } from "./revocations/revocations.ts";
import { sessionStore } from "./sessions/store.ts";
import { attemptStore } from "./throttling/store.ts";
import { accessTokens, type Clock, defaultIssuer } from "./tokens/accessTokens.ts";
import { createSeal } from "./tokens/sealing.ts";
import { readSecretKeys } from "./tokens/secretKey.ts";
import { followSigningKeys } from "./tokens/signingKeys.ts";
import { revocationStore, signingKeyStore } from "./tokens/store.ts";
import { userStore } from "./users/store.ts";
import { rehearse } from "./warmUp.ts";

export type Service = {
  url: string;
  /** Fails readiness, and closes each connection with its next response: for the grace period, or until `skipGrace`. */
  drain(skipGrace: AbortSignal): Promise<void>;
  /**
   * Finishes the requests in flight, then closes everything; within a bounded time.
   * @throws {CloseError}
   */
  close(): Promise<void>;
  /** Reads the certificate again now, rather than within seconds. */
  reload(): void;
  /** Resolves with a sentence when the service cannot go on: its embedded Postgres ended. */
  failed: Promise<string>;
};

/** Of one of several processes that serve together: their primary sees to Postgres and to the port of the metrics. */
export type Membership = { number: number; postgres: Postgres };

/** A service in this process, and what can be asked of it. */
export type OwnService = Service & {
  /** Password hashing done so far, in KiB times passes. */
  hashingWork(): number;
  /** For the primary that serves them; absent without `METRICS_PORT`. */
  readMetrics?: () => Promise<Reading>;
};

/**
 * Starts the service: migrates, unless its primary has done so, then listens.
 * @param clockOffsetMs moves its clock, for tests
 * @param droppedLogLines for the metrics
 * @param start collects what has to be closed, and cancels the start
 * @throws {ConfigError | StartError | EmbeddedPostgresError | ContractError} whose message says what to do
 */
export async function startService(
  config: Config,
  log: Logger,
  {
    worker,
    clockOffsetMs = () => 0,
    droppedLogLines = () => 0,
    start = uncancelled(),
  }: { worker?: Membership; clockOffsetMs?: () => number; droppedLogLines?: () => number; start?: Start } = {},
): Promise<OwnService> {
  const { closers, cancelled } = start;
  // Like tracing below, loaded only where it is wanted: most do not need the time and the memory that it takes.
  const metrics =
    config.metricsPort === undefined
      ? undefined
      : (await import("./observability/metrics.ts")).createMetrics(version(), droppedLogLines, worker?.number);
  const writeAudit = auditLog(log);
  const audit: Audit = (event, client, details) => {
    writeAudit(event, client, details);
    metrics?.audited(event, details);
  };
  try {
    const certificate = await readCertificate(config);
    if (!worker) await checkAddresses(config);
    const tracing = config.otelExporterOtlpEndpoint
      ? (await loadTracing()).startTracing((code) => log.warn({ code }, "could not deliver traces"))
      : undefined;
    if (tracing) closers.add("followers", "traces", tracing.close);
    const postgres = worker?.postgres ?? (await openMigratedPostgres(config, log, start));

    const databases = openDatabases(postgres.address, config.databasePoolMax, log, tracing?.query);
    closers.add("connections", "database", databases.close);
    const { database, following, proving, renew } = databases;
    let reload = (): void => {};
    const databaseClock = await followDatabaseClock(following, () => {
      log.warn("the clock of the database was set back");
      reload();
    });
    closers.add("followers", "clock", databaseClock.close);
    const clock: Clock = () => new Date(databaseClock.now().getTime() + clockOffsetMs());
    const secretKeys = await readSecretKeys(config);
    const keys = await followSigningKeys(
      signingKeyStore(following),
      createSeal(secretKeys.sealing),
      config.keyRotationDays * daySeconds,
      clock,
      (keyId) => audit("signing-key-rotated", undefined, { keyId }),
      exceptOutages((err) => log.warn({ err }, "could not look for signing keys")),
    );
    closers.add("followers", "signing keys", keys.close);
    databases.listen("latchkey_signing_keys", keys.wake);
    const tokens = accessTokens(keys, config.publicUrl ?? defaultIssuer, config.tokenTtlSeconds, clock);
    const hasher = passwordHasher(
      { memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes },
      (message) => log.warn(message),
      { waited: metrics?.waited },
      config.workers,
    );
    const commits = commitHistory();
    const commit = () => commitSomething(proving);
    const revocations = await followRevocations(
      revocationStore(following, { saw: commits.saw, ofRequests: database, commit, renew }),
      config.revocationStalenessSeconds * 1000,
      clock,
      exceptOutages((err) => log.warn({ err }, "could not look for revoked tokens")),
    );
    reload = revocations.reload;
    closers.add("followers", "revocations", revocations.close);
    databases.listen("latchkey_revocations", revocations.wake);
    if (!config.throttle) log.warn("THROTTLE=off: passwords can be guessed without end. This is for benchmarks alone.");
    const { users, sessions } = createAccounts({
      config,
      stores: { users: userStore(database), sessions: sessionStore(database), attempts: attemptStore(database) },
      secretKeys,
      hasher: tracing?.hashing(hasher) ?? hasher,
      isDatabaseStuck: database.isStuck,
      secondsVisible: commits.secondsVisible,
      tokens,
      clock,
      enforce: revocations.apply,
      audit,
    });
    const sweeping = sweepRegularly(
      database,
      (swept) => log.info({ swept }, "swept"),
      exceptOutages((err) => log.warn({ err }, "could not sweep")),
    );
    closers.add("followers", "sweep", sweeping.close);
    const contract = await loadContract(projectFile("openapi.yaml"), config.publicUrl);
    let isStopping = false;
    const services: Services = {
      users,
      sessions,
      tokens,
      keys,
      revocations,
      documentation: config.documentation
        ? await loadDocumentation(projectFile("dist/docs.html"), contract)
        : undefined,
      publicUrl: config.publicUrl,
      isMigrated: () => isMigrated(database),
      requireWritable: writableCheck(outsideRequests(database)),
      audit,
      isStopping: () => isStopping,
    };
    const check = createAnswerCheck(contract.document, config.contractCheck, config.contractCheckPercent, (fault) => {
      log.error(fault, "an answer breaks the contract");
      metrics?.contractBroken();
    });
    const requests = log.child({}, { level: "error" }); // the rehearsal is worth a line only when it fails
    let isRehearsal = true;
    // The warm-up request is no traffic: it is neither counted nor traced.
    const observing = (middleware: RequestHandler | undefined): RequestHandler | undefined =>
      middleware && ((...request) => (isRehearsal ? request[2]() : middleware(...request)));
    const app = createApp({
      contract,
      handlers: handlers(services),
      authenticator: createAuthenticator({ users, tokens, revocations, audit }),
      log: requests,
      config,
      check,
      countRequests: observing(metrics?.countRequests),
      trace: observing(tracing?.request),
    });
    await rehearse(app, requests, config.documentation ? 200 : 404);
    isRehearsal = false;
    requests.level = log.level;
    const { host, port } = config;
    const perNetwork = config.maxConnectionsPerNetwork ?? shareOfOneNetwork(config.maxConnections);
    const place = {
      host,
      port,
      certificate,
      connectionLimits: {
        total: Math.ceil(config.maxConnections / config.workers),
        perNetwork: Math.ceil(perNetwork / config.workers),
        isTrustedProxy: trustedProxy(config.trustProxy),
      },
      onConnectionRefused: metrics?.connectionRefused,
      isBehindProxy: config.trustProxy !== undefined,
      base: basePath(config.publicUrl),
    };
    cancelled.throwIfAborted();
    const server = await listen(app, place, log).catch(cannotListen("", host, port));
    closers.add("servers", "server", server.close);
    if (metrics) {
      metrics.read({
        operations: contract.operations.filter(({ responses }) => responses.has(500)).map(({ id }) => id),
        connections: server.connections,
        hashing: hasher.load,
        database: database.load,
        revocations: () => ({ stalenessSeconds: revocations.stalenessSeconds(), held: revocations.size() }),
      });
      if (!worker && config.metricsPort !== undefined) {
        const { metricsHost, metricsPort } = config;
        const refused = cannotListen("METRICS_", metricsHost, metricsPort);
        const metricsServer = await metrics.serve(metricsHost, metricsPort, log).catch(refused);
        closers.add("servers", "metrics", metricsServer.close);
        log.info({ url: metricsServer.url }, "metrics");
      }
    }
    const drain = async (skipGrace: AbortSignal) => {
      isStopping = true;
      server.drain();
      await sleep(config.shutdownGraceSeconds * 1000, undefined, { signal: skipGrace }).catch(() => {});
    };
    return {
      url: server.url,
      drain,
      close: closers.close,
      reload: server.reload,
      failed: postgres.failed,
      hashingWork: hasher.workDone,
      ...(metrics && { readMetrics: metrics.reading }),
    };
  } catch (error) {
    await closers.close().catch(() => {}); // the error of the start is more important
    throw error;
  }
}

/** The same whether this runs from src/ or from dist/. */
const projectFile = (name: string) => createRequire(import.meta.url).resolve(`latchkey/${name}`);

/** The version of this program, as package.json has it. */
export function version(): string {
  return (createRequire(import.meta.url)("latchkey/package.json") as { version: string }).version;
}
