/** Users and their passwords: what may be registered, who may sign in, what a change of password ends. */
import { v7 as uuidv7 } from "uuid";
import type { Audit } from "../audit/audit.ts";
import { hasTokenShape } from "../contract/authorization.ts";
import type { Caller, Client, PasswordPrincipal, Principal } from "../contract/binding.ts";
import { invalidRequest, Problem } from "../contract/problems.ts";
import { fairQueue } from "../lib/fairQueue.ts";
import type { PasswordHasher, Verification } from "../passwords/hashing.ts";
import { explainRefusal, newPassword, type PasswordPolicy, possiblePassword, refusalOf } from "../passwords/policy.ts";
import { loadDictionaries } from "../passwords/weaknessCheck.ts";
import { Throttled } from "../throttling/limits.ts";
import { networkOf, networksOf, unknownNetwork } from "../throttling/network.ts";
import type { Attempt, Throttle } from "../throttling/throttling.ts";
import { everyTokenOf, type Revocation } from "../tokens/revocations.ts";
import type { Enforced } from "../unicode/precis.ts";
import { whilePasswordHolds } from "./passwordRace.ts";
import { canonicalUsername, newUsername } from "./username.ts";

export type User = { id: string; username: string; createdAt: Date };

/** A user as sign-in needs it. */
export type Account = {
  id: string;
  username: string;
  passwordHash: string;
  tokenEpoch: number;
};

/** A network from which an account is signed in to. `key`: what both are found by when a password is tried. */
export type FamiliarNetwork = { network: string; key: string };

/** What is kept of users. Every method may throw the problem `database-unavailable`. */
export type UserStore = {
  /** @throws {Problem} `username-taken` */
  insert(user: { id: string; username: string; passwordHash: string } & FamiliarNetwork): Promise<User>;
  find(id: string): Promise<User | undefined>;
  findAccount(by: { id: string } | { username: string }): Promise<Account | undefined>;
  /**
   * Remembers a network. Beyond the limit, the oldest that were learned from refreshes are forgotten first, then the
   * oldest others.
   * @param sessionId of the session that was refreshed there; absent where the password was used. A refresh is
   * remembered only while its session lives, and never replaces a network where the password was used
   */
  rememberNetwork(id: string, familiar: FamiliarNetwork, sessionId: string | undefined): Promise<void>;
  /**
   * Sets the hash, raises the epoch and forgets all networks but the given one, if the password has not been changed
   * since the given epoch.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  changePassword(id: string, epoch: number, passwordHash: string, network: string): Promise<Revocation | undefined>;
  /** @returns the user's epoch; `undefined` where the password was changed since the given one, or the user deleted */
  currentEpoch(id: string, epoch: number): Promise<number | undefined>;
  /**
   * Makes the epoch higher than the given one, if it is not yet.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` without a user
   */
  endEpoch(id: string, epoch: number): Promise<Revocation | undefined>;
  /**
   * Raises the epoch, if the password has not been changed since the given one.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  raiseEpoch(id: string, epoch: number): Promise<Revocation | undefined>;
  /** Replaces a hash by one of the same password, if it is still the given one. The epochs stay as they are. */
  upgradeHash(id: string, from: string, to: string): Promise<void>;
  /**
   * Deletes the user, if the password has not been changed since the given epoch.
   * @returns the revocation of all tokens, kept in the same transaction; `undefined` otherwise
   */
  delete(id: string, epoch: number): Promise<Revocation | undefined>;
};

/** `name`: what guesses are counted by. `by`: what the account is found by. */
type Guess = { name: string; by: { id: string } | { username: string }; password: string; client: Client };
type Verified = { account: Account; verification: Verification; isRemembered: boolean };

export type Users = ReturnType<typeof createUsers>;

/** What no user has. An impossible name is looked for by it, with the same work as any other. */
const nobody = "";

/** What no network is called: all others are forgotten. */
const noNetwork = "";

/** The user was deleted by another request with the same password. */
const alreadyDeleted = Symbol("already deleted");

export type UsersParts = {
  store: UserStore;
  hasher: PasswordHasher;
  policy: PasswordPolicy;
  throttle: Throttle;
  /** The key of an account's familiar network. */
  familiarKey: (username: string, network: string) => string;
  /** Puts a revocation into force on this instance; the others follow by themselves. */
  enforce: (revocation: Revocation) => void;
  audit: Audit;
};

/** How long a password waits for its turn to be estimated, and how many may wait. */
const estimateTimeoutMs = 500;
const maxEstimates = 64;

export function createUsers({ store, hasher, policy, throttle, familiarKey, enforce, audit }: UsersParts) {
  const estimates = fairQueue(1, maxEstimates);

  /** @throws {Problem} `invalid-request`, `password-refused`, `username-taken`, `too-many-requests`, `overloaded` */
  async function register(name: string, password: string, client: Client): Promise<User> {
    const username = wellFormed(
      hasTokenShape(name) ? { refusal: "looks like a token" } : newUsername(name),
      "#/username",
    );
    const accepted = wellFormed(newPassword(password), "#/password");
    const attempt = { account: username, networks: networksOf(client.address) };
    const user = await throttle
      .registration(attempt, async () => {
        await enforcePolicy(accepted, attempt);
        return hasher.schedule(attempt, async (deadline) => {
          const passwordHash = await hasher.hash(accepted, deadline);
          return store.insert({ id: uuidv7(), username, passwordHash, ...familiarOf(username, client) });
        });
      })
      .catch(auditThrottled(client));
    audit("user-registered", client, { userId: user.id });
    return user;
  }

  /**
   * Checks a username and a password, with the same work whether or not there is such a user.
   * @throws {Problem} `invalid-credentials`, `too-many-requests`, `overloaded`
   */
  async function signIn(name: string, password: string, client: Client): Promise<PasswordPrincipal> {
    const username = canonicalUsername(name);
    const by = { username: username ?? nobody };
    const principal = await verify({ name: username ?? name, by, password, client });
    if (!principal) throw new Problem("invalid-credentials");
    return principal;
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
    const accepted = wellFormed(newPassword(next), "#/new_password");
    const wrong = new Problem("invalid-credentials", { detail: "The current password is not right." });
    const { userId, username } = caller;
    const confirmed = await verify({ name: username, by: { id: userId }, password: current, client });
    if (!confirmed) throw wrong;
    const network = networkOf(client.address);
    const turn = { networks: networksOf(client.address), account: username };
    await enforcePolicy(accepted, turn);
    const passwordHash = await hasher.schedule(turn, (deadline) => hasher.hash(accepted, deadline));
    const revocation = await whilePasswordHolds(confirmed, ({ epoch }) =>
      store.changePassword(userId, epoch, passwordHash, network),
    );
    if (!revocation) throw wrong;
    enforce(revocation);
    audit("password-changed", client, { userId, passwordEpoch: revocation.minimumEpoch });
  }

  /**
   * Sets another password without the present one, for the operator. Ends every token of the user, and forgets all
   * familiar networks.
   * @returns whether there is such a user
   * @throws {Problem} `invalid-request`, `password-refused`, `overloaded`
   */
  async function setPassword(name: string, password: string): Promise<boolean> {
    const username = canonicalUsername(name);
    const account = username === undefined ? undefined : await store.findAccount({ username });
    if (!account) return false;
    const accepted = wellFormed(newPassword(password), "#/password");
    await enforcePolicy(accepted, { networks: [noNetwork], account: account.username });
    const passwordHash = await hasher.hash(accepted);
    const revocation = await store.changePassword(account.id, account.tokenEpoch, passwordHash, noNetwork);
    // The user has changed the password meanwhile.
    if (!revocation) return setPassword(name, password);
    enforce(revocation);
    const passwordEpoch = revocation.minimumEpoch;
    audit("password-changed", undefined, { userId: account.id, passwordEpoch, reason: "operator" });
    return true;
  }

  /**
   * Ends every session and every token of the user. Of several at once, each succeeds.
   * @throws {Problem} `token-revoked` where the user, `invalid-credentials` where the user or the password is another one
   * by now
   */
  async function signOutEverywhere(principal: Principal, client: Client): Promise<void> {
    // A token that was ended meanwhile has nothing left to end, and must not end what began after it.
    const revocation =
      principal.proof === "token"
        ? await store.endEpoch(principal.userId, principal.epoch)
        : await whilePasswordHolds(principal, ({ userId, epoch }) => store.raiseEpoch(userId, epoch));
    if (!revocation) throw gone(principal);
    enforce(revocation);
    audit("sessions-ended", client, principal);
  }

  /**
   * Deletes the user. Of several at once, each succeeds, and one is in the audit log.
   * @throws {Problem} `invalid-credentials` where the password was changed meanwhile
   */
  async function remove(caller: PasswordPrincipal, client: Client): Promise<void> {
    const { userId } = caller;
    const revocation = await whilePasswordHolds(caller, async (current) => {
      // A user who has registered anew with the same name and password is not the one to be deleted.
      if (current.userId !== userId) return alreadyDeleted;
      const revocation = await store.delete(userId, current.epoch);
      return revocation ?? ((await store.find(userId)) ? undefined : alreadyDeleted);
    });
    if (!revocation) throw new Problem("invalid-credentials");
    if (revocation === alreadyDeleted) return enforce(everyTokenOf(userId));
    enforce(revocation);
    audit("user-deleted", client, { userId });
  }

  /**
   * @returns the principal with the user's present epoch: what is issued for it outlives an ending of all sessions that
   * came between
   * @throws {Problem} `invalid-credentials` where the password was changed or the user deleted meanwhile
   */
  async function refreshPrincipal(principal: PasswordPrincipal): Promise<PasswordPrincipal> {
    const current = await whilePasswordHolds(principal, async (principal) => {
      const epoch = await store.currentEpoch(principal.userId, principal.epoch);
      return epoch === undefined ? undefined : { ...principal, epoch };
    });
    if (!current) throw new Problem("invalid-credentials");
    return current;
  }

  /**
   * Looks at the password of an account, if there may be another guess. The account is not looked for before that:
   * a refused guess does the same work whether or not there is one.
   * @returns `undefined` where the password is wrong, or there is no such account
   * @throws {Problem} `too-many-requests`, `overloaded`
   */
  async function verify(guess: Guess): Promise<PasswordPrincipal | undefined> {
    const { name, by, password, client } = guess;
    const attempt = { account: name, networks: networksOf(client.address) };
    let account: Account | undefined;
    const verified = await throttle
      .password(attempt, {
        find: () => store.findAccount(by),
        async evaluate(found, { deadline, isRemembered }) {
          account = found;
          const verification = await hasher.verify(found?.passwordHash, possiblePassword(password), deadline);
          return found && verification.matches ? { account: found, verification, isRemembered } : undefined;
        },
      })
      .catch(auditThrottled(client, "id" in by ? by.id : undefined));
    if (!verified) {
      const reason = account ? "wrong-password" : "unknown-user";
      audit("password-refused", client, { userId: account?.id, reason });
      return undefined;
    }
    await afterwards(verified, client);
    audit("password-accepted", client, { userId: verified.account.id });
    return principalOf(verified.account, guess);
  }

  /** A password that was right a moment ago is verified again without the limits: this is the same attempt. */
  function principalOf({ id, username, tokenEpoch }: Account, guess: Guess): PasswordPrincipal {
    const { name, by, password, client } = guess;
    return {
      proof: "password",
      userId: id,
      username,
      epoch: tokenEpoch,
      async verifyAgain() {
        const account = await store.findAccount(by);
        const turn = { account: name, networks: networksOf(client.address) };
        const { matches } = await hasher.schedule(turn, (deadline) =>
          hasher.verify(account?.passwordHash, possiblePassword(password), deadline),
        );
        return account && matches ? principalOf(account, guess) : undefined;
      },
    };
  }

  /** What is not worth failing for: the next sign-in tries again. */
  async function afterwards({ account, verification, isRemembered }: Verified, client: Client): Promise<void> {
    const { upgraded } = verification;
    if (upgraded !== undefined) {
      await store.upgradeHash(account.id, account.passwordHash, upgraded).catch(() => {});
    }
    if (isRemembered) return;
    await networkChanged({ userId: account.id, username: account.username }, client, undefined).catch(() => {});
  }

  /**
   * Notes that a user's password or live session was used from the client's network: from there other people's
   * guesses do not lock the user out.
   * @param sessionId of the session that was refreshed; `undefined` where the password was used
   * @throws {Problem} `database-unavailable`
   */
  async function networkChanged(
    user: { userId: string; username: string },
    client: Client,
    sessionId: string | undefined,
  ): Promise<void> {
    const familiar = familiarOf(user.username, client);
    if (familiar.network !== unknownNetwork) await store.rememberNetwork(user.userId, familiar, sessionId);
  }

  function familiarOf(username: string, client: Client): FamiliarNetwork {
    const network = networkOf(client.address);
    return { network, key: familiarKey(username, network) };
  }

  const auditThrottled =
    (client: Client, userId?: string) =>
    (error: unknown): never => {
      if (error instanceof Throttled) audit("throttled", client, { userId, limit: error.limit });
      throw error;
    };

  /**
   * Passwords are estimated one at a time, in turns that are shared fairly: one can take a quarter of a second.
   * @throws {Problem} `password-refused`, `overloaded`
   */
  async function enforcePolicy(password: string, { networks, account }: Attempt): Promise<void> {
    if (policy.blocklist) await loadDictionaries();
    const turn = { networks, account, deadline: performance.now() + estimateTimeoutMs };
    const reason = await estimates.run(turn, () => refusalOf(password, account, policy));
    if (reason) throw new Problem("password-refused", { reason, detail: explainRefusal(reason, policy) });
  }

  return {
    register,
    signIn,
    read,
    readSelf,
    changePassword,
    setPassword,
    networkChanged,
    signOutEverywhere,
    refreshPrincipal,
    remove,
  };
}

/**
 * The refusal names one character, to whoever has sent it and over the same connection. The log does not have it.
 * @throws {Problem} `invalid-request`
 */
function wellFormed(enforced: Enforced, pointer: string): string {
  if ("text" in enforced) return enforced.text;
  throw invalidRequest({ pointer, detail: enforced.refusal });
}

/** What held when the request began no longer does. */
const gone = ({ proof }: Principal) => new Problem(proof === "token" ? "token-revoked" : "invalid-credentials");
