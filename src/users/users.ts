/** Users and their passwords: registration, sign-in, password changes, deletion. */
import { v7 as uuidv7 } from "uuid";
import {
  type CanonicalUsername,
  type Network,
  type SessionId,
  userId as toUserId,
  type UserId,
} from "../identifiers.ts";
import { fairQueue } from "../lib/fairQueue.ts";
import { type Networks, unknownNetwork } from "../networks.ts";
import { hasApiKeyShape, hasTokenShape } from "../openapi/authorizationHeader.ts";
import { checkPolicy, explainRefusal, newPassword, type PasswordPolicy } from "../passwords/policy.ts";
import { loadDictionaries } from "../passwords/strengthCheck.ts";
import type { Caller, PasswordPrincipal, Principal, TokenPrincipal } from "../principal.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";
import { deletedUser, type Revocation } from "../revocations/revocations.ts";
import type { Client } from "../throttling/counters.ts";
import { withCurrentPassword } from "./currentPassword.ts";
import { createSignIn, type SignInParts } from "./signIn.ts";
import type { KnownNetwork, PasswordChange, User } from "./storeTypes.ts";
import { canonicalUsername, newUsername, nobody } from "./username.ts";

export type Users = ReturnType<typeof createUsers>;

/** A concurrent request with the same password has deleted the user. */
const deletedConcurrently = Symbol("deleted concurrently");

export type UsersParts = SignInParts & {
  /** The key of a network that is known to an account. */
  networkKey: (username: CanonicalUsername, network: Network) => string;
  policy: PasswordPolicy;
  /** Applies a revocation on this instance at once. Other instances read it from the revocation list. */
  enforce: (revocation: Revocation) => void;
  /** The time of the database. */
  clock: () => Date;
};

/** How long a password may wait for its strength estimate, and how many may wait. */
const estimateTimeoutMs = 500;
const maxEstimates = 64;

/**
 * The maximum age of the epoch in a new token. A process that was stopped for longer reads the epoch again. It must be far below
 * `clockMarginSeconds`, the time by which a revocation outlasts the tokens that it revokes.
 */
const maxEpochAgeMs = 5_000;

export function createUsers({ policy, enforce, clock, networkKey, ...parts }: UsersParts) {
  const { store, hasher, throttle, audit } = parts;
  const { verify, auditThrottled } = createSignIn(parts);
  const estimates = fairQueue(1, maxEstimates);

  /** @throws {Problem} `invalid-request`, `password-refused`, `username-taken`, `too-many-requests`, `overloaded` */
  async function register(name: string, password: string, networks: Networks): Promise<User> {
    const isCredential = hasTokenShape(name) || hasApiKeyShape(name);
    const username = requireAccepted(
      isCredential ? { refusal: "looks like a token or an API key" } : newUsername(name),
      "#/username",
    );
    const accepted = requireAccepted(newPassword(password), "#/password");
    const attempt = { account: username, networks };
    const user = await throttle
      .registration(attempt, async () => {
        await enforcePolicy(accepted, attempt);
        return hasher.schedule(attempt, async (deadline) => {
          const passwordHash = await hasher.hash(accepted, deadline);
          return store.insert({
            id: toUserId(uuidv7()),
            username,
            passwordHash,
            ...knownNetwork(username, networks[0]),
          });
        });
      })
      .catch(auditThrottled());
    audit("user-registered", { userId: user.id });
    return user;
  }

  /**
   * Verifies a username and a password, with the same work whether or not the user exists.
   * @throws {Problem} `invalid-credentials`, `too-many-requests`, `overloaded`
   */
  async function signIn(name: string, password: string, networks: Networks): Promise<PasswordPrincipal> {
    const username = canonicalUsername(name);
    const reference = { username: username ?? nobody };
    const principal = await verify({ name: username ?? name, reference, password, networks });
    if (!principal) throw new Problem("invalid-credentials");
    return principal;
  }

  /** @throws {Problem} `token-revoked` or `invalid-credentials` if the user was deleted meanwhile */
  async function readSelf(principal: Principal): Promise<User> {
    const user = await store.find(principal.userId);
    if (!user) throw credentialsNoLongerValid(principal);
    return user;
  }

  /** @throws {Problem} `not-found` if the id is that of another user, or the user was deleted meanwhile */
  async function read(caller: Caller, id: string): Promise<User> {
    const user = id.toLowerCase() === caller.userId ? await store.find(caller.userId) : undefined;
    if (!user) throw new Problem("not-found");
    return user;
  }

  /**
   * Changes the password, revokes all tokens of the user, and deletes the API keys unless they are kept.
   * @throws {Problem} `invalid-credentials` for a wrong current password, also if another change came first;
   * `invalid-request`, `password-refused`, `too-many-requests`, `overloaded`
   */
  async function changePassword(
    caller: Caller,
    {
      current,
      next,
      networks,
      keepApiKeys,
    }: { current: string; next: string; networks: Networks; keepApiKeys: boolean },
  ): Promise<void> {
    const accepted = requireAccepted(newPassword(next), "#/new_password");
    const wrong = new Problem("invalid-credentials", { detail: "The current password is wrong." });
    const { userId, username } = caller;
    const confirmed = await verify({ name: username, reference: { id: userId }, password: current, networks });
    if (!confirmed) throw wrong;
    const turn = { networks, account: username };
    await enforcePolicy(accepted, turn);
    const passwordHash = await hasher.schedule(turn, (deadline) => hasher.hash(accepted, deadline));
    const change = await withCurrentPassword(confirmed, ({ epoch }) =>
      store.changePassword({ id: userId, epoch, passwordHash, network: networks[0], keepApiKeys }),
    );
    if (!change) throw wrong;
    completeChange(userId, change);
  }

  function completeChange(userId: UserId, { revocation, deletedApiKeys }: PasswordChange, reason?: string): void {
    enforce(revocation);
    audit("password-changed", { userId, passwordEpoch: revocation.minimumEpoch, ...(reason && { reason }) });
    for (const apiKeyId of deletedApiKeys) audit("api-key-deleted", { userId, apiKeyId, reason: "password-changed" });
  }

  /**
   * Sets a password without the current one, for the operator. Revokes all tokens of the user, forgets all known networks, and
   * deletes the API keys unless they are kept.
   * @returns whether there is such a user
   * @throws {Problem} `invalid-request`, `password-refused`, `overloaded`
   */
  async function setPassword(name: string, password: string, keepApiKeys = false): Promise<boolean> {
    const username = canonicalUsername(name);
    const account = username === undefined ? undefined : await store.findAccount({ username });
    if (!account) return false;
    const accepted = requireAccepted(newPassword(password), "#/password");
    await enforcePolicy(accepted, { networks: [unknownNetwork], account: account.username });
    const passwordHash = await hasher.hash(accepted);
    const change = await store.changePassword({
      id: account.id,
      epoch: account.tokenEpoch,
      passwordHash,
      network: null,
      keepApiKeys,
      reason: "operator",
    });
    // A concurrent request changed the password.
    if (!change) return setPassword(name, password, keepApiKeys);
    completeChange(account.id, change, "operator");
    return true;
  }

  /**
   * Ends all sessions and revokes all tokens of the user. Each of several concurrent calls succeeds.
   * @throws {Problem} for a token: `token-revoked` if the user was deleted; for a password: `invalid-credentials` if the user
   * was deleted or the password changed
   */
  async function signOutEverywhere(principal: PasswordPrincipal | TokenPrincipal): Promise<void> {
    // A token that was revoked meanwhile must not end sessions that began later.
    const revocation =
      principal.proof === "token"
        ? await store.raiseEpochAbove(principal.userId, principal.epoch)
        : await withCurrentPassword(principal, ({ userId, epoch }) => store.raiseEpoch(userId, epoch));
    if (!revocation) throw credentialsNoLongerValid(principal);
    enforce(revocation);
    audit("sessions-ended", { ...principal, userId: revocation.subject });
  }

  /**
   * Deletes the user. Each of several concurrent calls succeeds, and one of them writes the audit event.
   * @throws {Problem} `invalid-credentials` if the password was changed meanwhile
   */
  async function remove(caller: PasswordPrincipal): Promise<void> {
    const { userId } = caller;
    const revocation = await withCurrentPassword(caller, async (current) => {
      // By id: the user may have been deleted and have registered again with the same name and password.
      const revocation = await store.delete(userId, current.epoch);
      return revocation ?? ((await store.find(userId)) ? undefined : deletedConcurrently);
    });
    if (!revocation) throw new Problem("invalid-credentials");
    if (revocation === deletedConcurrently) return enforce(deletedUser(userId, clock()));
    enforce(revocation);
    audit("user-deleted", { userId });
  }

  /**
   * Reads the user's current epoch, so that a new token stays valid if all sessions were ended since the sign-in.
   * @returns the principal with that epoch
   * @throws {Problem} `invalid-credentials` if the password was changed or the user deleted meanwhile
   */
  async function withCurrentEpoch(principal: PasswordPrincipal): Promise<PasswordPrincipal> {
    const { epochReadAfterMs } = principal;
    if (epochReadAfterMs !== undefined && performance.now() - epochReadAfterMs < maxEpochAgeMs) return principal;
    const current = await withCurrentPassword(principal, async (principal) => {
      const epoch = await store.currentEpoch(principal.userId, principal.epoch);
      return epoch === undefined ? undefined : { ...principal, epoch };
    });
    if (!current) throw new Problem("invalid-credentials");
    return current;
  }

  /**
   * Remembers the network of a refresh. Wrong passwords from other networks do not lock the user out there.
   * @throws {Problem} `database-unavailable`
   */
  async function rememberNetwork(
    { userId, username }: Pick<Caller, "userId" | "username">,
    network: Network,
    sessionId: SessionId,
  ): Promise<void> {
    if (network === unknownNetwork) return;
    await store.rememberNetwork({ userId, sessionId, ...knownNetwork(username, network) });
  }

  const knownNetwork = (username: CanonicalUsername, network: Network): KnownNetwork => ({
    network,
    key: networkKey(username, network),
  });

  /**
   * Rejects a weak password. An estimate can take 0.25 s, so there is one at a time, in a fair order.
   * @throws {Problem} `password-refused`, `overloaded`
   */
  async function enforcePolicy(password: string, { networks, account }: Client): Promise<void> {
    if (policy.blocklist) await loadDictionaries();
    const turn = { networks, account, deadline: performance.now() + estimateTimeoutMs };
    const reason = await estimates.run(turn, () => checkPolicy(password, account, policy));
    if (reason) throw new Problem("password-refused", { reason, detail: explainRefusal(reason, policy) });
  }

  return {
    register,
    signIn,
    read,
    readSelf,
    changePassword,
    setPassword,
    rememberNetwork,
    signOutEverywhere,
    withCurrentEpoch,
    remove,
  };
}

/**
 * The detail can contain a character of the input, so it is not logged.
 * @throws {Problem} `invalid-request`
 */
function requireAccepted<Text extends string>(enforced: { text: Text } | { refusal: string }, pointer: string): Text {
  if ("text" in enforced) return enforced.text;
  throw invalidRequest({ pointer, detail: enforced.refusal });
}

/** For credentials that were valid when the request began. */
const credentialsNoLongerValid = ({ proof }: Principal) =>
  new Problem(proof === "password" ? "invalid-credentials" : "token-revoked");
