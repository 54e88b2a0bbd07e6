/** Credentials that were verified before, until they expire or an entry of the revocation list ends them. */
import type { Principal } from "./principal.ts";
import type { RevocationEntry } from "./revocationList.ts";
import { everybody } from "./token.ts";

export type RememberedCredential = {
  /** `Bearer` and the credential. */
  authorization: string;
  principal: Principal;
  /** Milliseconds since 1970, or `Infinity`. */
  validFromMs: number;
  expiresAtMs: number;
  /** Those whose entries can end the credential. */
  subjects: readonly string[];
  /** The version that a token has of each subject. `undefined` if every entry makes what is remembered outdated. */
  versions: readonly number[] | undefined;
  /** Whether it was used since it was last considered for eviction. */
  wasUsed: boolean;
};

export type Remembered = {
  /** @param authorization `Bearer` and the credential */
  find(authorization: string): RememberedCredential | undefined;
  add(credential: RememberedCredential): void;
  forget(credential: RememberedCredential): void;
  /** Forgets the credentials that an entry ends. */
  apply(entry: RevocationEntry): void;
  /** Forgets all that the predicate is true for. */
  forgetAll(predicate: (credential: RememberedCredential) => boolean): void;
  size(): number;
};

/** The end of a signature or key has enough random bits, and is faster to look up than the whole. */
const keyLength = 24;
/** An eviction skips credentials that were used since the last one, but at most this number of them. */
const maxSecondChances = 8;

export function createRemembered(maxSize: number): Remembered {
  const credentials = new Map<string, RememberedCredential>();
  /** Most subjects have one credential, for which a set would take several times as much memory. */
  const bySubject = new Map<string, RememberedCredential | Set<RememberedCredential>>();

  const link = (credential: RememberedCredential): void => {
    for (const subject of credential.subjects) {
      if (subject === everybody) continue; // all credentials have it
      const linked = bySubject.get(subject);
      if (linked instanceof Set) linked.add(credential);
      else bySubject.set(subject, linked === undefined ? credential : new Set([linked, credential]));
    }
  };
  const unlink = (credential: RememberedCredential): void => {
    for (const subject of credential.subjects) {
      const linked = bySubject.get(subject);
      if (linked instanceof Set) linked.delete(credential);
      if (linked === credential || (linked instanceof Set && linked.size === 0)) bySubject.delete(subject);
    }
  };
  const forget = (credential: RememberedCredential): void => {
    const key = keyOf(credential.authorization);
    if (credentials.get(key) !== credential) return;
    credentials.delete(key);
    unlink(credential);
  };
  const evictOne = (): void => {
    let chances = 0;
    for (const [key, credential] of credentials) {
      credentials.delete(key);
      if (!credential.wasUsed || chances === maxSecondChances) {
        unlink(credential);
        return;
      }
      chances += 1;
      credential.wasUsed = false;
      credentials.set(key, credential);
    }
  };
  const forgetAll: Remembered["forgetAll"] = (predicate) => {
    for (const credential of [...credentials.values()]) if (predicate(credential)) forget(credential);
  };

  return {
    find(authorization) {
      const credential = credentials.get(keyOf(authorization));
      if (credential?.authorization !== authorization) return undefined;
      credential.wasUsed = true;
      return credential;
    },
    add(credential) {
      const key = keyOf(credential.authorization);
      const previous = credentials.get(key);
      if (previous) forget(previous);
      if (credentials.size >= maxSize) evictOne();
      credentials.set(key, credential);
      link(credential);
    },
    forget,
    apply(entry) {
      if (entry.subject === everybody) return forgetAll((credential) => isEnded(credential, entry));
      const linked = bySubject.get(entry.subject);
      if (linked === undefined) return; // most entries concern no credential that is remembered
      for (const credential of linked instanceof Set ? [...linked] : [linked]) {
        if (isEnded(credential, entry)) forget(credential);
      }
    },
    forgetAll,
    size: () => credentials.size,
  };
}

const isEnded = ({ subjects, versions }: RememberedCredential, { subject, minimumEpoch }: RevocationEntry): boolean =>
  versions === undefined || versions.some((version, index) => subjects[index] === subject && version < minimumEpoch);

const keyOf = (authorization: string): string => authorization.slice(-keyLength);
