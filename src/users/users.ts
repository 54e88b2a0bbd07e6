/** Users and their passwords: what may be registered, who may sign in, what a change of password ends. */
import { v7 as uuidv7 } from "uuid";
import type { Audit } from "../audit/audit.ts";
import { hasTokenShape } from "../contract/authorization.ts";
import type { Caller, Client, PasswordPrincipal, Principal } from "../contract/binding.ts";
import { invalidRequest, Problem } from "../contract/problems.ts";
import type { PasswordHasher } from "../passwords/hashing.ts";
import { explainRefusal, type PasswordPolicy, possiblePassword, refusalOf } from "../passwords/policy.ts";
import { networkOf, unknownNetwork } from "../throttling/network.ts";
import { type Throttle, Throttled } from "../throttling/throttling.ts";
import type { Revocation } from "../tokens/revocations.ts";
import { canonicalUsername } from "./username.ts";

export type User = { id: string; username: string; createdAt: Date };

/** A user as sign-in needs it. */
export type Account = {
  id: string;
  username: string;
  passwordHash: string;
  tokenEpoch: number;
  /** When the account was last signed in to from the network that asks; `null` where it never was. */
  familiarAt: Date | null;
};

/** What is kept of users. Every method may throw the problem `database-unavailable`. */
export type UserStore = {
  /** @throws {Problem} `username-taken` */
  insert(user: { id: string; username: string; passwordHash: string; network: string }): Promise<User>;
  find(id: string): Promise<User | undefined>;
  findAccount(by: { id: string } | { username: string }, network: string): Promise<Account | undefined>;
  /** Notes that the account is signed in to from a network; the oldest others are forgotten. */
  rememberNetwork(id: string, network: string): Promise<void>;
  /**
   * Sets the hash, raises the epoch and forgets all networks but the given one, if the epoch is still the given one.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  changePassword(id: string, epoch: number, passwordHash: string, network: string): Promise<Revocation | undefined>;
  /**
   * Raises the epoch, if it is still the given one.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  raiseEpoch(id: string, epoch: number): Promise<Revocation | undefined>;
  /** Replaces a hash by one of the same password, if it is still the given one. */
  upgradeHash(id: string, from: string, to: string): Promise<void>;
  /**
   * Deletes the user, if the epoch is still the given one.
   * @returns the revocation of all tokens, kept in the same transaction; `undefined` otherwise
   */
  delete(id: string, epoch: number): Promise<Revocation | undefined>;
};

export type Users = ReturnType<typeof createUsers>;

/** Noting it at each sign-in would be a write for nothing. */
const rememberAgainAfterMs = 86_400_000;

/** What no network is called: all others are forgotten. */
const noNetwork = "";

/** @param enforce puts a revocation into force on this instance; the others follow by themselves. */
export function createUsers(
  store: UserStore,
  hasher: PasswordHasher,
  policy: PasswordPolicy,
  throttle: Throttle,
  enforce: (revocation: Revocation) => void,
  audit: Audit,
) {
  /** @throws {Problem} `invalid-request`, `password-refused`, `username-taken`, `too-many-requests`, `overloaded` */
  async function register(name: string, password: string, client: Client): Promise<User> {
    const username = hasTokenShape(name) ? undefined : canonicalUsername(name);
    if (username === undefined) {
      throw invalidRequest({
        pointer: "#/username",
        detail: "is not a username (RFC 8265, at most 64 characters, no colon)",
      });
    }
    const accepted = wellFormedPassword(password, "#/password");
    const network = networkOf(client.address);
    return hasher.admit(network, async () => {
      await throttle.registration(network).catch(auditThrottled(client));
      await enforcePolicy(accepted, username);
      const passwordHash = await hasher.hash(accepted);
      const user = await store.insert({ id: uuidv7(), username, passwordHash, network });
      audit("user-registered", client, { userId: user.id });
      return user;
    });
  }

  /**
   * Checks a username and a password, with the same work whether or not there is such a user.
   * @throws {Problem} `invalid-credentials`, `too-many-requests`, `overloaded`
   */
  function signIn(name: string, password: string, client: Client): Promise<PasswordPrincipal> {
    const network = networkOf(client.address);
    return hasher.admit(network, async () => {
      const username = canonicalUsername(name);
      const account = username === undefined ? undefined : await store.findAccount({ username }, network);
      const principal = await verify(username ?? name, account, password, client);
      if (!principal) throw new Problem("invalid-credentials");
      return principal;
    });
  }

  /** @throws {Problem} `token-revoked` or `invalid-credentials` where the user was deleted meanwhile */
  async function readSelf(principal: Principal): Promise<User> {
    const user = await store.find(principal.userId);
    if (!user) throw gone(principal);
    return user;
  }

  /** @throws {Problem} `not-found` where the user is another one, or was deleted meanwhile */
  async function read(caller: Caller, id: string): Promise<User> {
    const user = id.toLowerCase() === caller.userId ? await store.find(caller.userId) : undefined;
    if (!user) throw new Problem("not-found");
    return user;
  }

  /**
   * Changes the password, and ends every token of the user.
   * @throws {Problem} `invalid-credentials` for a wrong current password, also where another change
   * came first; `invalid-request`, `password-refused`, `too-many-requests`, `overloaded`
   */
  async function changePassword(caller: Caller, current: string, next: string, client: Client): Promise<void> {
    const accepted = wellFormedPassword(next, "#/new_password");
    await enforcePolicy(accepted, caller.username);
    const wrong = new Problem("invalid-credentials", { detail: "The current password is not right." });
    const network = networkOf(client.address);
    await hasher.admit(network, async () => {
      const account = await store.findAccount({ id: caller.userId }, network);
      const confirmed = await verify(caller.username, account, current, client);
      if (!confirmed) throw wrong;
      const passwordHash = await hasher.hash(accepted);
      const revocation = await store.changePassword(caller.userId, confirmed.epoch, passwordHash, network);
      if (!revocation) throw wrong;
      enforce(revocation);
      audit("password-changed", client, { userId: caller.userId, passwordEpoch: revocation.minimumEpoch });
    });
  }

  /**
   * Sets another password without the present one, for the operator. Ends every token of the user, and forgets all
   * familiar networks.
   * @returns whether there is such a user
   * @throws {Problem} `invalid-request`, `password-refused`, `overloaded`
   */
  async function setPassword(name: string, password: string): Promise<boolean> {
    const username = canonicalUsername(name);
    const account = username === undefined ? undefined : await store.findAccount({ username }, unknownNetwork);
    if (!account) return false;
    const accepted = wellFormedPassword(password, "#/password");
    await enforcePolicy(accepted, account.username);
    const passwordHash = await hasher.hash(accepted);
    const revocation = await store.changePassword(account.id, account.tokenEpoch, passwordHash, noNetwork);
    // Something else has ended the user's tokens meanwhile.
    if (!revocation) return setPassword(name, password);
    enforce(revocation);
    const passwordEpoch = revocation.minimumEpoch;
    audit("password-changed", undefined, { userId: account.id, passwordEpoch, reason: "operator" });
    return true;
  }

  /**
   * Ends every session and every token of the user.
   * @throws {Problem} `token-revoked` or `invalid-credentials` where that has been done meanwhile
   */
  async function signOutEverywhere(principal: Principal, client: Client): Promise<void> {
    const revocation = await store.raiseEpoch(principal.userId, principal.epoch);
    if (!revocation) throw gone(principal);
    enforce(revocation);
    audit("sessions-ended", client, principal);
  }

  /** @throws {Problem} `invalid-credentials` where the password was changed or the user deleted meanwhile */
  async function remove(caller: PasswordPrincipal, client: Client): Promise<void> {
    const revocation = await store.delete(caller.userId, caller.epoch);
    if (!revocation) throw new Problem("invalid-credentials");
    enforce(revocation);
    audit("user-deleted", client, caller);
  }

  /**
   * Has the password of an account looked at, if there may be another guess.
   * @param name what the account was looked for by, for the counting of guesses
   * @returns `undefined` where it is wrong, or there is no such account
   * @throws {Problem} `too-many-requests`, `overloaded`
   */
  async function verify(
    name: string,
    account: Account | undefined,
    password: string,
    client: Client,
  ): Promise<PasswordPrincipal | undefined> {
    const network = networkOf(client.address);
    const attempt = {
      account: name,
      network,
      isFamiliar: account?.familiarAt instanceof Date && network !== unknownNetwork,
    };
    const verification = await throttle
      .password(attempt, async (deadline) => {
        const verified = await hasher.verify(account?.passwordHash, possiblePassword(password), deadline);
        return verified.matches ? verified : undefined;
      })
      .catch(auditThrottled(client, account));
    if (!account || !verification) {
      const reason = account ? "wrong-password" : "unknown-user";
      audit("password-refused", client, { userId: account?.id, reason });
      return undefined;
    }
    await afterwards(account, network, verification.upgraded);
    audit("password-accepted", client, { userId: account.id });
    return { proof: "password", userId: account.id, username: account.username, epoch: account.tokenEpoch };
  }

  /** What is not worth failing for: the next sign-in tries again. */
  async function afterwards(account: Account, network: string, upgraded: string | undefined): Promise<void> {
    if (upgraded !== undefined) {
      await store.upgradeHash(account.id, account.passwordHash, upgraded).catch(() => {});
    }
    if (network === unknownNetwork) return;
    if (Date.now() - (account.familiarAt?.getTime() ?? 0) > rememberAgainAfterMs) {
      await store.rememberNetwork(account.id, network).catch(() => {});
    }
  }

  const auditThrottled =
    (client: Client, account?: Account) =>
    (error: unknown): never => {
      if (error instanceof Throttled) audit("throttled", client, { userId: account?.id, limit: error.limit });
      throw error;
    };

  function wellFormedPassword(text: string, pointer: string): string {
    const password = possiblePassword(text);
    if (password !== undefined) return password;
    throw invalidRequest({ pointer, detail: "is empty, or has characters that a password may not have (RFC 8265)" });
  }

  /** @throws {Problem} `password-refused`, `overloaded` */
  async function enforcePolicy(password: string, username: string): Promise<void> {
    const reason = await refusalOf(password, username, policy);
    if (reason) throw new Problem("password-refused", { reason, detail: explainRefusal(reason, policy) });
  }

  return { register, signIn, read, readSelf, changePassword, setPassword, signOutEverywhere, remove };
}

/** What held when the request began no longer does. */
const gone = ({ proof }: Principal) => new Problem(proof === "token" ? "token-revoked" : "invalid-credentials");
