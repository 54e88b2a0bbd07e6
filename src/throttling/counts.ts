/** What is known of an attempt before it takes its places. */
export type Counted = {
  /** Points, among them those of attempts that are not decided yet, by key. Absent for none. */
  places: Record<string, { points: number; pending: number }>;
  /** Wrong passwords in a row by key of the account. Absent for none. */
  accounts: Record<string, { failures: number; expiresAtMs: number }>;
  /** Whether the password, or a refresh token, of the account was used from the network. */
  isFamiliar: boolean;
  /** Whether the password was, within the last day and under the present key. */
  isRemembered: boolean;
};

/** The counts, shared by all instances. Each method may throw the problem `database-unavailable`. */
export type CountStore = {
  look(keys: { places: string[]; accounts: string[]; familiar: string[]; now: Date }): Promise<Counted>;
  /**
   * Takes places, each where fewer than `most` are taken, and, when it got them all, one for the account.
   * @returns the keys of the places that were taken, and whether the account's was
   */
  take(attempt: {
    places: { key: string; most: number }[];
    /** Whether it will be settled. */
    isPending: boolean;
    endsAt: Date;
    account?: { key: string; most: number; expiresAt: Date };
    now: Date;
  }): Promise<{ taken: string[]; hasAccount: boolean }>;
  /**
   * Decides what was taken: it stays (wrong), is given back and clears the accounts' failures (right), or is given
   * back as if it had not been (unread).
   */
  settle(decided: { places: string[]; accounts: string[]; outcome: "wrong" | "right" | "unread" }): Promise<void>;
  /** Forgets what is counted against accounts. @returns whether there was anything */
  clear(accounts: string[]): Promise<boolean>;
};
