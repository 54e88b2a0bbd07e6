/** Users and their passwords: what may be registered, who may sign in, what a change of password ends. */
import { v7 as uuidv7 } from "uuid";
import { hasTokenShape } from "../contract/authorization.ts";
import type { Caller, PasswordPrincipal, Principal } from "../contract/binding.ts";
import { invalidRequest, Problem } from "../contract/problems.ts";
import type { PasswordHasher } from "../passwords/hashing.ts";
import { explainRefusal, type PasswordPolicy, possiblePassword, refusalOf } from "../passwords/policy.ts";
import type { Revocation } from "../tokens/revocations.ts";
import { canonicalUsername } from "./username.ts";

export type User = { id: string; username: string; createdAt: Date };

/** A user as sign-in needs it. */
export type Account = { id: string; username: string; passwordHash: string; tokenEpoch: number };

/** What is kept of users. Every method may throw the problem `database-unavailable`. */
export type UserStore = {
  /** @throws {Problem} `username-taken` */
  insert(user: { id: string; username: string; passwordHash: string }): Promise<User>;
  find(id: string): Promise<User | undefined>;
  findAccount(by: { id: string } | { username: string }): Promise<Account | undefined>;
  /**
   * Sets the hash and raises the epoch, if the epoch is still the given one.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  changePassword(id: string, epoch: number, passwordHash: string): Promise<Revocation | undefined>;
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

/** @param enforce puts a revocation into force on this instance; the others follow by themselves. */
export function createUsers(
  store: UserStore,
  hasher: PasswordHasher,
  policy: PasswordPolicy,
  enforce: (revocation: Revocation) => void,
) {
  /** @throws {Problem} `invalid-request`, `password-refused`, `username-taken`, `overloaded` */
  async function register(name: string, password: string): Promise<User> {
    const username = hasTokenShape(name) ? undefined : canonicalUsername(name);
    if (username === undefined) {
      throw invalidRequest({
        pointer: "#/username",
        detail: "is not a username (RFC 8265, at most 64 characters, no colon)",
      });
    }
    const accepted = acceptedPassword(password, username, "#/password");
    return store.insert({ id: uuidv7(), username, passwordHash: await hasher.hash(accepted) });
  }

  /**
   * Checks a username and a password, with the same work whether or not there is such a user.
   * @throws {Problem} `invalid-credentials`, `overloaded`
   */
  async function signIn(name: string, password: string): Promise<PasswordPrincipal> {
    const username = canonicalUsername(name);
    const account = username === undefined ? undefined : await store.findAccount({ username });
    return verify(account, password, new Problem("invalid-credentials"));
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
   * came first; `invalid-request`, `password-refused`, `overloaded`
   */
  async function changePassword(caller: Caller, current: string, next: string): Promise<void> {
    const accepted = acceptedPassword(next, caller.username, "#/new_password");
    const wrong = new Problem("invalid-credentials", { detail: "The current password is not right." });
    const { epoch } = await verify(await store.findAccount({ id: caller.userId }), current, wrong);
    const passwordHash = await hasher.hash(accepted);
    const revocation = await store.changePassword(caller.userId, epoch, passwordHash);
    if (!revocation) throw wrong;
    enforce(revocation);
  }

  /**
   * Ends every session and every token of the user.
   * @throws {Problem} `token-revoked` or `invalid-credentials` where that has been done meanwhile
   */
  async function signOutEverywhere(principal: Principal): Promise<void> {
    const revocation = await store.raiseEpoch(principal.userId, principal.epoch);
    if (!revocation) throw gone(principal);
    enforce(revocation);
  }

  /** @throws {Problem} `invalid-credentials` where the password was changed or the user deleted meanwhile */
  async function remove(caller: PasswordPrincipal): Promise<void> {
    const revocation = await store.delete(caller.userId, caller.epoch);
    if (!revocation) throw new Problem("invalid-credentials");
    enforce(revocation);
  }

  async function verify(account: Account | undefined, password: string, wrong: Problem): Promise<PasswordPrincipal> {
    const { matches, upgraded } = await hasher.verify(account?.passwordHash, possiblePassword(password));
    if (!account || !matches) throw wrong;
    if (upgraded !== undefined) {
      // Not worth failing for: the next sign-in tries again.
      await store.upgradeHash(account.id, account.passwordHash, upgraded).catch(() => {});
    }
    return { proof: "password", userId: account.id, username: account.username, epoch: account.tokenEpoch };
  }

  function acceptedPassword(text: string, username: string, pointer: string): string {
    const password = possiblePassword(text);
    if (password === undefined) {
      throw invalidRequest({ pointer, detail: "is empty, or has characters that a password may not have (RFC 8265)" });
    }
    const reason = refusalOf(password, username, policy);
    if (reason) throw new Problem("password-refused", { reason, detail: explainRefusal(reason, policy) });
    return password;
  }

  return { register, signIn, read, readSelf, changePassword, signOutEverywhere, remove };
}

/** What held when the request began no longer does. */
const gone = ({ proof }: Principal) => new Problem(proof === "token" ? "token-revoked" : "invalid-credentials");
