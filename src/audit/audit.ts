/** What is told to those who have to know later who did what: an event a line, without any secret. */

/** Every event, and what it means. Names stay: somebody's alerts depend on them. */
export const auditEvents = {
  "user-registered": "Somebody registered.",
  "user-deleted": "A user was deleted, by themselves, or once more after a restore (`reason`: `restored`).",
  "password-accepted": "A username and its password were sent, with any operation, and were right.",
  "password-refused":
    "A username and a password were sent, and were not right. `reason`: `unknown-user` or `wrong-password`.",
  "password-changed":
    "A user changed the password, or the operator set another (`reason`: `operator`). All tokens and sessions of the user have ended. `passwordEpoch` numbers the changes.",
  "password-disabled":
    "After a restore: a password that had been changed since the backup was disabled. The operator has to set another.",
  "account-unlocked": "The operator forgot the wrong passwords that were counted for a user.",
  throttled:
    "A password was not checked, or a registration not made, since there were too many tries. `limit` says of what. `userId` only where the user was signed in already.",
  "token-issued": "A token was issued for a password.",
  "token-refused":
    "A token was sent and not accepted. `reason` is the problem: `invalid-token`, `token-expired` or `token-revoked`.",
  "token-revoked": "A token that belongs to no session was revoked by its holder.",
  "session-created": "Somebody signed in for longer.",
  "session-refreshed": "A refresh token was used.",
  "session-ended":
    "A session was ended by its user, also by revoking one of its tokens, or as the oldest of too many (`reason`: `too-many`).",
  "sessions-ended":
    "A user signed out everywhere, or the operator did it for them (`reason`: `operator`). All tokens and sessions of the user have ended.",
  "all-sessions-ended": "The operator ended all tokens and sessions of all users.",
  "refresh-refused":
    "A refresh token was sent and not accepted. `reason` is the problem: `invalid-token`, `token-expired`, `token-revoked` or `token-reused`.",
  "refresh-token-repeated":
    "A refresh token was used again within the grace, from the network of its first use, and got the same successor: an answer was lost, or several asked at once.",
  "refresh-token-reused":
    "A refresh token was used a second time, later than a lost answer explains (`reason`: `too-late`) or from another network than before (`another-network`): somebody has a copy. The session has ended, and the networks that only refreshes have made familiar are forgotten.",
  "refresh-token-ahead":
    "A refresh token is newer than the database knows: a failover lost what had been committed. The session goes on.",
  "signing-key-rotated": "Another key signs, at once or when it has been published for long enough.",
  "signing-key-revoked": "A signing key was revoked, with all its tokens.",
  "database-restored":
    "The operator ended what a backup had brought back. `reason` says what was done about passwords: `audit-log`, `end-passwords` or `keep-passwords`.",
} as const;

export type AuditEvent = keyof typeof auditEvents;

export type AuditDetails = {
  userId?: string | undefined;
  sessionId?: string | undefined;
  /** The key's `kid`. */
  keyId?: string | undefined;
  /** Numbers the changes of a user's password. */
  passwordEpoch?: number | undefined;
  reason?: string;
  limit?: string;
};

/** Records an event. Within a request, its id and the client's address are recorded as well. */
export type Audit = (event: AuditEvent, details: AuditDetails) => void;
