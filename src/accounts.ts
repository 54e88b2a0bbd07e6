/** Wires what belongs to accounts: users, their sessions, and the limits on guessing their passwords. */
import type { Audit } from "./audit/audit.ts";
import type { Config } from "./config/config.ts";
import { daySeconds } from "./config/values.ts";
import type { PasswordHasher, Schedule } from "./passwords/hashing.ts";
import { passwordPolicy } from "./passwords/policy.ts";
import { Problem } from "./problems/problems.ts";
import type { Revocation } from "./revocations/revocations.ts";
import { refreshSecrets } from "./sessions/refreshSecrets.ts";
import { createSessions, type Sessions } from "./sessions/sessions.ts";
import type { SessionStore } from "./sessions/state.ts";
import type { AttemptStore } from "./throttling/attempts.ts";
import { throttleKeys } from "./throttling/keys.ts";
import { createThrottle, noThrottle } from "./throttling/throttling.ts";
import type { AccessTokens, Clock } from "./tokens/accessTokens.ts";
import type { SecretKeys } from "./tokens/secretKey.ts";
import type { UserStore } from "./users/state.ts";
import { createUsers, type Users } from "./users/users.ts";

type Parts = {
  config: Config;
  stores: { users: UserStore; sessions: SessionStore; attempts: AttemptStore };
  secretKeys: SecretKeys;
  hasher: PasswordHasher;
  /** Whether Postgres is away, or its oldest query hangs. */
  isDatabaseStuck: () => boolean;
  /** For how many seconds others have been able to see a transaction (src/database/commits.ts). */
  secondsVisible: (xid: string, startedSecondsAgo: number) => number;
  tokens: AccessTokens;
  clock: Clock;
  /** Puts a revocation into force on this instance. */
  enforce: (revocation: Revocation) => void;
  audit: Audit;
};

export function createAccounts({ config, stores, secretKeys, ...parts }: Parts): { users: Users; sessions: Sessions } {
  const { tokens, clock, enforce, audit } = parts;
  const limits = {
    "account-address": config.throttleAccountAddress,
    account: config.throttleAccount,
    address: config.throttleAddress,
    registrations: config.throttleRegistrations,
    consecutive: config.throttleConsecutive,
  };
  const keys = throttleKeys(secretKeys.counting);
  // A sign-in that times out behind a hanging query was waiting for Postgres, not for a hash.
  const schedule: Schedule = (turn, task) =>
    parts.hasher.schedule(turn, task).catch((error: unknown) => {
      const isOverloaded = error instanceof Problem && error.slug === "overloaded";
      throw isOverloaded && parts.isDatabaseStuck() ? new Problem("database-unavailable", { cause: error }) : error;
    });
  const users = createUsers({
    store: stores.users,
    hasher: { ...parts.hasher, schedule },
    policy: passwordPolicy(config),
    throttle: config.throttle
      ? createThrottle({ limits, store: stores.attempts, keys, schedule, clock })
      : noThrottle(schedule, stores.users.findAccount),
    networkKey: (username, network) => keys.knownNetworks(username, network)[0],
    enforce,
    audit,
  });
  const sessions = createSessions({
    store: stores.sessions,
    tokens,
    secrets: refreshSecrets(secretKeys.sealing),
    times: {
      idleSeconds: config.sessionIdleDays * daySeconds,
      lifetimeSeconds: config.sessionLifetimeDays * daySeconds,
      graceSeconds: config.refreshGraceSeconds,
      sessionsPerUser: config.sessionsPerUser,
    },
    secondsVisible: parts.secondsVisible,
    // A live session makes the network that it is used from familiar. On failure the next change of network retries.
    networkChanged: (user, client, sessionId) => void users.networkChanged(user, client, sessionId).catch(() => {}),
    enforce,
    audit,
  });
  return { users, sessions };
}
