/** Audit events. The log has one line per event, without any secret. */

/** Every event and its meaning. The names are stable, because alerts depend on them. */
export const auditEvents = {
  "user-registered": "A user registered.",
  "user-created":
    "An administrator created a user, with the roles in `roles`. `reason`: `administrator` or `operator`.",
  "user-blocked":
    "An administrator blocked a user: the password is rejected, and all tokens, sessions and API keys were revoked. `reason`: `administrator` or `operator`.",
  "user-unblocked": "An administrator unblocked a user. `reason`: `administrator` or `operator`.",
  "roles-changed":
    "An administrator changed the roles of a user to those in `roles`. `reason`: `administrator` or `operator`.",
  "user-deleted":
    "A user deleted their account, an administrator or operator deleted it (`reason`: `administrator` or `operator`), or `latchkey restore` deleted it again (`restored`).",
  "password-accepted": "A request with a username and the right password, for any operation.",
  "password-refused":
    "A request with a username and a wrong password. `reason`: `unknown-user`, `wrong-password` or `blocked`.",
  "password-changed":
    "A user changed the password, or an administrator or operator set it (`reason`: `administrator` or `operator`). All tokens and sessions of the user were revoked. `passwordEpoch` increases with each change.",
  "password-disabled":
    "`latchkey restore` disabled a password that had been changed after the backup. An operator has to set a new one.",
  "account-unlocked": "An operator reset the counts of wrong passwords for a user.",
  throttled:
    "A sign-in or a registration was rejected because of too many attempts. `limit` names the limit. `userId` is present only if the user was already authenticated.",
  "token-issued": "A token was issued for a password.",
  "token-refused":
    "A token was rejected. `reason` is the problem: `invalid-token`, `token-expired` or `token-revoked`.",
  "scope-refused":
    "A request with valid credentials was rejected, because the user or the credential does not have `scope`.",
  "token-revoked": "A token without a session was revoked by its holder.",
  "session-created": "A user signed in and started a session.",
  "session-refreshed": "A refresh token was used.",
  "session-ended":
    "A user ended a session or revoked one of its tokens, or the session was the oldest of too many (`reason`: `too-many`), or an administrator ended it (`administrator`).",
  "sessions-ended":
    "A user signed out everywhere, or an administrator or operator ended the user's sessions (`reason`: `administrator` or `operator`). All tokens and sessions of the user were revoked.",
  "all-sessions-ended": "An operator revoked all tokens and sessions of all users.",
  "refresh-refused":
    "A refresh token was rejected. `reason` is the problem: `invalid-token`, `token-expired`, `token-revoked` or `token-reused`.",
  "refresh-token-repeated":
    "A refresh token was used again within the grace period, from the network of its first use, and returned the same new refresh token. The response was lost, or several requests were concurrent.",
  "refresh-token-reused":
    "A refresh token was used again after the grace period (`reason`: `too-late`) or from another network (`another-network`): someone may have a copy. The session was revoked. Networks that became familiar only through refreshes were removed.",
  "refresh-token-ahead":
    "A refresh token is newer than its row in the database: a failover lost a committed transaction. The session continues.",
  "signing-key-rotated": "Another key signs, immediately or after it has been published for long enough.",
  "signing-key-revoked": "A signing key was revoked, and all tokens that it signed.",
  "database-restored":
    "`latchkey restore` revoked what a backup had restored. `reason` is the option for passwords: `audit-log`, `end-passwords` or `keep-passwords`.",
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
  /** The scopes that were missing. */
  scope?: string;
  /** The names of the roles, separated by spaces. */
  roles?: string;
  limit?: string;
};

/** Records an event. Within a request, its id and the client's address are recorded as well. */
export type Audit = (event: AuditEvent, details: AuditDetails) => void;
