/** Credentials that were verified before, until they expire or an entry of the revocation list ends them. */
import type { Principal } from "./principal.ts";
import type { RevocationEntry } from "./revocationList.ts";

export type RememberedCredential = {
  /** `Bearer` and the credential. */
  authorization: string;
  principal: Principal;
  /** Milliseconds since 1970, or `Infinity`. */
  validFromMs: number;
  expiresAtMs: number;
  /** Those whose entries can end the credential. */
  subjects: readonly string[];
  /** Whether an entry of one of the subjects ends the credential, or makes what is remembered of it outdated. */
  isEndedBy(entry: RevocationEntry): boolean;
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

type Slot = { credential: RememberedCredential; wasUsed: boolean };

/** The end of a signature or key has enough random bits, and is faster to look up than the whole. */
const keyLength = 24;
/** An entry that was used since it was last considered is kept, but a new one does not consider more than this number. */
const maxSecondChances = 8;

/** @param everybody the subject of the entry that concerns all credentials */
export function createRemembered(maxSize: number, everybody: string): Remembered {
  const slots = new Map<string, Slot>();
  /** Most subjects have one credential, for which a set would take several times as much memory. */
  const bySubject = new Map<string, RememberedCredential | Set<RememberedCredential>>();

  const link = (credential: RememberedCredential): void => {
    for (const subject of credential.subjects) {
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
    if (slots.get(key)?.credential !== credential) return;
    slots.delete(key);
    unlink(credential);
  };
  const evictOne = (): void => {
    let chances = 0;
    for (const [key, slot] of slots) {
      if (slot.wasUsed && chances < maxSecondChances) {
        chances += 1;
        slot.wasUsed = false;
        slots.delete(key);
        slots.set(key, slot);
        continue;
      }
      forget(slot.credential);
      return;
    }
  };
  const forgetAll: Remembered["forgetAll"] = (predicate) => {
    for (const { credential } of [...slots.values()]) if (predicate(credential)) forget(credential);
  };

  return {
    find(authorization) {
      const slot = slots.get(keyOf(authorization));
      if (slot?.credential.authorization !== authorization) return undefined;
      slot.wasUsed = true;
      return slot.credential;
    },
    add(credential) {
      const key = keyOf(credential.authorization);
      const previous = slots.get(key);
      if (previous) forget(previous.credential);
      if (slots.size >= maxSize) evictOne();
      slots.set(key, { credential, wasUsed: false });
      link(credential);
    },
    forget,
    apply(entry) {
      if (entry.subject === everybody) return forgetAll((credential) => credential.isEndedBy(entry));
      const linked = bySubject.get(entry.subject);
      if (linked === undefined) return; // most entries concern no credential that is remembered
      for (const credential of linked instanceof Set ? [...linked] : [linked]) {
        if (credential.isEndedBy(entry)) forget(credential);
      }
    },
    forgetAll,
    size: () => slots.size,
  };
}

const keyOf = (authorization: string): string => authorization.slice(-keyLength);
