/** The secret keys, the signing keys, access tokens and the revocation list. */
import { daySeconds } from "../config/values.ts";
import { channels } from "../database/channels.ts";
import { type CommitHistory, commitHistory } from "../database/commitHistory.ts";
import { outsideRequests } from "../database/database.ts";
import { unlessOutage } from "../database/errors.ts";
import { probeCommit } from "../database/writeCheck.ts";
import { runOutsideRequest } from "../requestContext.ts";
import { createRevocationFeed, type RevocationFeed } from "../revocations/feed.ts";
import { maxReadGapMs, type Revocations, watchRevocations } from "../revocations/revocations.ts";
import { feedStore, revocationStore } from "../revocations/store.ts";
import { type AccessTokens, accessTokens, issuerOf } from "../tokens/accessTokens.ts";
import { recordTokenLifetime, type TokenLifetime } from "../tokens/lifetime.ts";
import { createSeal } from "../tokens/sealing.ts";
import { readSecretKeys, type SecretKeys } from "../tokens/secretKey.ts";
import { type SigningKeys, watchSigningKeys } from "../tokens/signingKeys.ts";
import { signingKeyStore, tokenLifetimeStore } from "../tokens/store.ts";
import type { StartContext } from "./context.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

export type Keys = {
  secretKeys: SecretKeys;
  signingKeys: SigningKeys;
  tokens: AccessTokens;
  revocations: Revocations;
  revocationFeed: RevocationFeed;
  /** Updated by each read of the revocation list. */
  commits: CommitHistory;
};

type EarlierStages = { observability: Observability; storage: Storage };

/** @throws {SecretKeyError | SealedKeysError} */
export async function openKeys(context: StartContext, { observability, storage }: EarlierStages): Promise<Keys> {
  const { config } = context;
  const secretKeys = await readSecretKeys(config);
  const signingKeys = await openSigningKeys(context, { observability, storage, secretKeys });
  const commits = commitHistory();
  const lifetime = await openTokenLifetime(context, storage);
  const revocations = await openRevocations(context, storage, { commits, lifetime });
  const { clock, database } = storage;
  const revocationFeed = createRevocationFeed({ revocations, store: feedStore(outsideRequests(database)), clock });
  const tokens = accessTokens({
    keys: signingKeys,
    issuer: issuerOf(context.config),
    ttlSeconds: context.config.tokenTtlSeconds,
    lifetime,
    clock,
  });
  return { secretKeys, signingKeys, tokens, revocations, revocationFeed, commits };
}

async function openSigningKeys(
  { config, log, lifecycle }: StartContext,
  { observability, storage, secretKeys }: EarlierStages & { secretKeys: SecretKeys },
): Promise<SigningKeys> {
  const signingKeys = await watchSigningKeys({
    store: signingKeyStore(storage.background),
    seal: createSeal(secretKeys.sealing),
    rotationSeconds: config.keyRotationDays * daySeconds,
    algorithm: config.signingAlg,
    clock: storage.clock,
    // A request with an unknown key can trigger a rotation, which is no action of its user.
    onRotation: (keyId) => runOutsideRequest(() => observability.audit("signing-key-rotated", { keyId })),
    onError: unlessOutage((err) => log.warn({ err }, "could not read the signing keys")),
  });
  lifecycle.add("background", "signing keys", signingKeys.close);
  storage.listen(channels.signingKeys, signingKeys.wake);
  return signingKeys;
}

async function openRevocations(
  { config, log, lifecycle }: StartContext,
  { database, background, commitProbe, renew, clock, listen, onClockStep }: Storage,
  { commits, lifetime }: { commits: CommitHistory; lifetime: TokenLifetime },
): Promise<Revocations> {
  const testCommit = () => probeCommit(commitProbe);
  let knownServer: string | undefined;
  const onSnapshot = (server: string, snapshot: string, atMs: number) => {
    commits.record(server, snapshot, atMs);
    // After a failover, the new server may lack the record.
    if (knownServer !== undefined && server !== knownServer) lifetime.recordAgain();
    knownServer = server;
  };
  const revocations = await watchRevocations({
    store: revocationStore(background, { onSnapshot, requestDatabase: database, testCommit, renew }),
    maxStalenessMs: config.revocationStalenessSeconds * 1000,
    clock,
    onError: unlessOutage((err) => log.warn({ err }, "could not read the revocation list")),
  });
  lifecycle.add("background", "revocations", revocations.close);
  listen(channels.revocations, revocations.wake);
  onClockStep((stepMs) => {
    // After a suspension of the machine, entries may have expired before they were read.
    if (stepMs < 0 || stepMs > maxReadGapMs) revocations.reload();
  });
  return revocations;
}

async function openTokenLifetime({ config, log, lifecycle }: StartContext, storage: Storage): Promise<TokenLifetime> {
  const lifetime = await recordTokenLifetime({
    store: tokenLifetimeStore(outsideRequests(storage.database)),
    lifetimeSeconds: config.tokenTtlSeconds,
    onError: unlessOutage((err) => log.warn({ err }, "could not record the lifetime of tokens")),
  });
  lifecycle.add("background", "token lifetime", lifetime.close);
  // The record is valid until a time of the database's clock. Between readings, this process only extrapolates that clock.
  storage.onClockStep(lifetime.recordAgain);
  return lifetime;
}
