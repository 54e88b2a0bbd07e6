/** Wires the service from its settings: database, keys, users, tokens, contract, server. Nothing else knows the whole. */
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import type { Express } from "express";
import type { Logger } from "pino";
import { createApp } from "./app.ts";
import type { Audit } from "./audit/audit.ts";
import { createAuthenticator } from "./authenticator.ts";
import { type Config, cannotListen } from "./config.ts";
import { createAnswerCheck } from "./contract/answerCheck.ts";
import { loadContract } from "./contract/contract.ts";
import { Problem } from "./contract/problems.ts";
import { followDatabaseClock } from "./database/clock.ts";
import { commitHistory } from "./database/commits.ts";
import { listenTo, openDatabase, outsideRequests } from "./database/database.ts";
import { isMigrated } from "./database/migrate.ts";
import { sweepRegularly } from "./database/sweep.ts";
import { loadDocumentation } from "./documentation/documentation.ts";
import { handlers, type Services } from "./handlers.ts";
import { shareOfOneNetwork, trustedProxy } from "./http/connectionLimits.ts";
import { auditLog } from "./operations/log.ts";
import type { Reading } from "./operations/metrics.ts";
import { passwordHasher, type Schedule } from "./passwords/hashing.ts";
import { passwordPolicy } from "./passwords/policy.ts";
import { openMigratedPostgres, type Postgres } from "./postgres.ts";
import { listen } from "./server.ts";
import { refreshSecrets } from "./sessions/refreshSecrets.ts";
import { createSessions } from "./sessions/sessions.ts";
import { sessionStore } from "./sessions/store.ts";
import { throttleKeys } from "./throttling/keys.ts";
import { countStore } from "./throttling/store.ts";
import { createThrottle, noThrottle } from "./throttling/throttling.ts";
import { readCertificate } from "./tls.ts";
import { accessTokens, type Clock, defaultIssuer } from "./tokens/accessTokens.ts";
import { followRevocations } from "./tokens/revocations.ts";
import { createSeal } from "./tokens/sealing.ts";
import { readSecretKeys } from "./tokens/secretKey.ts";
import { followSigningKeys } from "./tokens/signingKeys.ts";
import { revocationStore, signingKeyStore } from "./tokens/store.ts";
import { userStore } from "./users/store.ts";
import { createUsers } from "./users/users.ts";

export type Service = {
  url: string;
  /** Tells in `/readyz` and in each answer that it stops, and serves on: for the time of grace, or until `hurry`. */
  drain(hurry: AbortSignal): Promise<void>;
  /** Finishes what is in flight, then lets go of the database; within a bounded time. */
  close(): Promise<void>;
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

const daySeconds = 86_400;

/**
 * Starts the service: migrates, unless its primary has done so, then listens.
 * @param clockOffsetMs moves its clock, for tests
 * @param droppedLogLines for the metrics
 * @throws {ConfigError | StartError | EmbeddedPostgresError | ContractError} whose message says what to do
 */
export async function startService(
  config: Config,
  log: Logger,
  {
    worker,
    clockOffsetMs = () => 0,
    droppedLogLines = () => 0,
  }: { worker?: Membership; clockOffsetMs?: () => number; droppedLogLines?: () => number } = {},
): Promise<OwnService> {
  // In the order of their making; let go of in the other.
  const held: { close(): Promise<unknown> }[] = [];
  const release = async () => {
    for (const part of held.splice(0).reverse()) await part.close();
  };
  // Like tracing below, loaded only where it is wanted: most do not need the time and the memory that it takes.
  const metrics =
    config.metricsPort === undefined
      ? undefined
      : (await import("./operations/metrics.ts")).createMetrics(version(), droppedLogLines, worker?.number);
  const writeAudit = auditLog(log);
  const audit: Audit = (event, client, details) => {
    writeAudit(event, client, details);
    metrics?.audited(event, details);
  };
  try {
    const certificate = await readCertificate(config);
    const tracing = config.otelExporterOtlpEndpoint
      ? (await import("./operations/tracing.ts")).startTracing((code) => log.warn({ code }, "could not deliver traces"))
      : undefined;
    if (tracing) held.push(tracing);
    const postgres = worker?.postgres ?? (await openMigratedPostgres(config, log));
    held.push(postgres);

    const warn = (message: string) => log.warn(message);
    const database = openDatabase(postgres.address, config.databasePoolMax, warn, tracing?.query);
    held.push(database);
    // What every check of a token depends on does not queue for a connection with the requests.
    const following = outsideRequests(openDatabase(postgres.address, 1, warn));
    held.push(following);
    let reload = (): void => {};
    const databaseClock = await followDatabaseClock(following, () => {
      log.warn("the clock of the database was set back");
      reload();
    });
    held.push(databaseClock);
    const clock: Clock = () => new Date(databaseClock.now().getTime() + clockOffsetMs());
    const secretKeys = await readSecretKeys(config);
    const keys = await followSigningKeys(
      signingKeyStore(following),
      createSeal(secretKeys),
      config.keyRotationDays * daySeconds,
      clock,
      (keyId) => audit("signing-key-rotated", undefined, { keyId }),
      (err) => log.warn({ err }, "could not look for signing keys"),
    );
    held.push(keys, listenTo(postgres.address, "latchkey_signing_keys", keys.wake));
    const tokens = accessTokens(keys, config.publicUrl ?? defaultIssuer, config.tokenTtlSeconds, clock);
    const hasher = passwordHasher(
      { memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes },
      (message) => log.warn(message),
      { waited: metrics?.waited },
      config.workers,
    );
    const commits = commitHistory();
    const revocations = await followRevocations(
      revocationStore(following, { saw: commits.saw, ofRequests: database }),
      config.revocationStalenessSeconds * 1000,
      clock,
      (err) => log.warn({ err }, "could not look for revoked tokens"),
    );
    reload = revocations.reload;
    held.push(revocations, listenTo(postgres.address, "latchkey_revocations", revocations.wake));
    if (!config.throttle) log.warn("THROTTLE=off: passwords can be guessed without end. This is for benchmarks alone.");
    const limits = {
      "account-address": config.throttleAccountAddress,
      account: config.throttleAccount,
      address: config.throttleAddress,
      registrations: config.throttleRegistrations,
      consecutive: config.throttleConsecutive,
    };
    const guessKeys = throttleKeys(secretKeys);
    // A sign-in that times out behind a hanging query was waiting for Postgres, not for a hash.
    const schedule: Schedule = (turn, task) =>
      hasher.schedule(turn, task).catch((error: unknown) => {
        const isOverloaded = error instanceof Problem && error.slug === "overloaded";
        throw isOverloaded && database.isStuck() ? new Problem("database-unavailable", { cause: error }) : error;
      });
    const throttle = config.throttle
      ? createThrottle({ limits, store: countStore(database), keys: guessKeys, schedule, clock })
      : noThrottle(schedule);
    const users = createUsers({
      store: userStore(database),
      hasher: { ...(tracing?.hashing(hasher) ?? hasher), schedule },
      policy: passwordPolicy(config),
      throttle,
      familiarKey: (username, network) => guessKeys.familiar(username, network)[0],
      enforce: revocations.apply,
      audit,
    });
    const sessions = createSessions({
      store: sessionStore(database),
      tokens,
      secrets: refreshSecrets(secretKeys),
      times: {
        idleSeconds: config.sessionIdleDays * daySeconds,
        lifetimeSeconds: config.sessionLifetimeDays * daySeconds,
        graceSeconds: config.refreshGraceSeconds,
        sessionsPerUser: config.sessionsPerUser,
      },
      secondsVisible: commits.secondsVisible,
      // A live session makes the network that it is used from familiar. On failure the next change of network retries.
      networkChanged: (user, client, sessionId) => void users.networkChanged(user, client, sessionId).catch(() => {}),
      enforce: revocations.apply,
      audit,
    });
    held.push(
      sweepRegularly(
        database,
        (swept) => log.info({ swept }, "swept"),
        (err) => log.warn({ err }, "could not sweep"),
      ),
    );
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
      audit,
      isStopping: () => isStopping,
    };
    const check = createAnswerCheck(contract.document, config.contractCheck, config.contractCheckPercent, (fault) => {
      log.error(fault, "an answer breaks the contract");
      metrics?.contractBroken();
    });
    const requests = log.child({}, { level: "error" }); // the rehearsal is worth a line only when it fails
    let isRehearsal = true;
    const app = createApp({
      contract,
      handlers: handlers(services),
      authenticator: createAuthenticator({ users, tokens, revocations, audit }),
      log: requests,
      config,
      check,
      metrics,
      trace: tracing && ((...request) => (isRehearsal ? request[2]() : tracing.request(...request))),
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
    };
    const server = await listen(app, place, log).catch(cannotListen("", host, port));
    held.push(server);
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
        held.push(metricsServer);
        log.info({ url: metricsServer.url }, "metrics");
      }
    }
    const drain = async (hurry: AbortSignal) => {
      isStopping = true;
      server.drain();
      await sleep(config.shutdownGraceSeconds * 1000, undefined, { signal: hurry }).catch(() => {});
    };
    return {
      url: server.url,
      drain,
      close: release,
      failed: postgres.failed,
      hashingWork: hasher.workDone,
      ...(metrics && { readMetrics: metrics.reading }),
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** The validator compiles, and finds a broken contract, at its first request only: that one is ours. */
async function rehearse(app: Express, log: Logger, expected: number): Promise<void> {
  const server = await listen(app, { host: "127.0.0.1", port: 0, isPrivate: true }, log);
  try {
    const { status } = await fetch(`${server.url}/problems/not-found`);
    if (status !== expected) throw new Error("The contract cannot be served; the log says why.");
  } finally {
    await server.close();
  }
}

/** The same whether this runs from src/ or from dist/. */
const projectFile = (name: string) => createRequire(import.meta.url).resolve(`latchkey/${name}`);

/** The version of this program, as package.json has it. */
export function version(): string {
  return (createRequire(import.meta.url)("latchkey/package.json") as { version: string }).version;
}
