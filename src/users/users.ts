/** Users and their passwords: registration, sign-in, password changes, deletion. */
import { v7 as uuidv7 } from "uuid";
import {
  type CanonicalUsername,
  type Network,
  type SessionId,
  userId as toUserId,
  type UserId,
} from "../identifiers.ts";
import { type Networks, unknownNetwork } from "../networks.ts";
import type { Caller, PasswordPrincipal, TokenPrincipal, UserPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { deletedUser, type Revocation } from "../revocations/revocations.ts";
import { acceptPassword, acceptUsername, type EnforcePolicy } from "./acceptance.ts";
import { withCurrentPassword } from "./currentPassword.ts";
import { createSignIn, type SignInParts } from "./signIn.ts";
import type { KnownNetwork, PasswordChange, User } from "./storeTypes.ts";
import { canonicalUsername, nobody } from "./username.ts";

export type Users = ReturnType<typeof createUsers>;

/** A concurrent request with the same password has deleted the user. */
const deletedConcurrently = Symbol("deleted concurrently");

export type UsersParts = SignInParts & {
  /** The key of a network that is known to an account. */
  networkKey: (username: CanonicalUsername, network: Network) => string;
  enforcePolicy: EnforcePolicy;
  /** Applies a revocation on this instance at once. Other instances read it from the revocation list. */
  enforce: (revocation: Revocation) => void;
  /** The time of the database. */
  clock: () => Date;
};

/**
 * The maximum age of the epoch in a new token. A process that was stopped for longer reads the epoch again. It must be far below
 * `clockMarginSeconds`, the time by which a revocation outlasts the tokens that it revokes.
 */
const maxEpochAgeMs = 5_000;

export function createUsers({ enforcePolicy, enforce, clock, networkKey, ...parts }: UsersParts) {
  const { store, hasher, throttle, audit } = parts;
  const { verify, auditThrottled } = createSignIn(parts);

  /** @throws {Problem} `invalid-request`, `password-refused`, `username-taken`, `too-many-requests`, `overloaded` */
  async function register(name: string, password: string, networks: Networks): Promise<User> {
    const username = acceptUsername(name);
    const accepted = acceptPassword(password, "#/password");
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
  async function readSelf(principal: UserPrincipal): Promise<User> {
    const user = await store.find(principal.userId);
    if (!user) throw credentialsNoLongerValid(principal);
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
    const accepted = acceptPassword(next, "#/new_password");
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
   * @throws {Problem} `invalid-credentials` if the password was changed meanwhile; `last-administrator`
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

  return {
    register,
    signIn,
    readSelf,
    changePassword,
    rememberNetwork,
    signOutEverywhere,
    withCurrentEpoch,
    remove,
  };
}

/** For credentials that were valid when the request began. */
const credentialsNoLongerValid = ({ proof }: UserPrincipal) =>
  new Problem(proof === "password" ? "invalid-credentials" : "token-revoked");
