/**
 * Audit events: who did what, from where. The log has one line per event. The table `audit_events` has a row, except for routine
 * events. Neither contains a secret.
 */

/** Every event and its meaning. The names are stable, because alerts depend on them. */
export const auditEvents = {
  "user-registered": "A user registered.",
  "user-created":
    "An administrator created a user, with the roles in `roles`. `reason`: `administrator` or `operator`.",
  "user-blocked":
    "An administrator blocked a user: the password is rejected, and all tokens, sessions and API keys were revoked. `reason`: `administrator` or `operator`, or `restored` if `latchkey restore` did it again.",
  "user-unblocked": "An administrator unblocked a user. `reason` as for `user-blocked`.",
  "roles-changed": "An administrator changed the roles of a user to those in `roles`. `reason` as for `user-blocked`.",
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
  "users-imported":
    "An operator imported users from a file. `imported`, `existing` and `refused` are the numbers of its users.",
  "users-exported": "An operator exported `users` users with their password hashes.",
  throttled:
    "A sign-in or a registration was rejected because of too many attempts. `limit` names the limit. `userId` is present only if the user was already authenticated.",
  "token-issued": "A token was issued for a password.",
  "token-refused":
    "A token was rejected. `reason` is the problem: `invalid-token`, `token-expired` or `token-revoked`.",
  "scope-refused":
    "A request with valid credentials was rejected, because the user or the credential does not have `scope`.",
  "token-revoked": "A token without a session was revoked by its holder.",
  "role-changed": "A role was created, or its scopes replaced. `scope` contains the new scopes.",
  "role-deleted": "A role was deleted, and taken from all users.",
  "api-created": "An API was registered. `scope` contains its scopes.",
  "api-changed": "A registered API was changed. `scope` contains its scopes.",
  "api-deleted": "The registration of an API was deleted.",
  "session-created":
    "A user signed in and started a session. `clientId`: the client for which the session was started, if any.",
  "client-token-issued": "A client got a token for itself.",
  "authorization-code-refused":
    "A client presented an authorization code that is not valid. `reason`: `invalid`, or `redeemed` if it was used before.",
  "authorization-code-reused":
    "An authorization code was used a second time: someone may have a copy. The session that the first use started was revoked.",
  "session-refreshed": "A refresh token was used.",
  "session-ended":
    "A user ended a session or revoked one of its tokens, an administrator or operator ended it (`reason`: `administrator` or `operator`), or the session was the oldest of too many (`too-many`).",
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
  "api-key-created": "A user or an operator created an API key.",
  "api-key-changed": "The name, the scopes or the expiry of an API key was changed.",
  "api-key-rotated": "An API key got a new secret.",
  "api-key-deleted":
    "An API key was deleted: by its owner, by an administrator, by an operator, or because the password was changed or the user was blocked (`reason`: `password-changed` or `user-blocked`).",
  "api-key-revoked": "Someone reported a leaked API key, and it was deleted. `userId` is its owner.",
  "api-key-refused":
    "An API key was rejected, or the report of a leaked one. `reason`: `malformed`, `unknown` (also deleted, and the keys of a blocked user), `expired`, or `rotated` (the overlap after a rotation has ended).",
  "client-created":
    "A client of OAuth was registered. `scope` contains its scopes. `reason`: `dynamic` if it registered itself.",
  "client-document-read":
    "The document at the URL that is the id of a client was fetched. `scope` contains the scopes of the client.",
  "client-document-refused": "The document of a client could not be fetched or is not valid. `reason` says why.",
  "client-changed": "A client of OAuth was changed. `scope` contains its scopes.",
  "client-deleted":
    "A client of OAuth was deleted. `reason`: `unused` if the cleanup did it, `restored` if `latchkey restore` did it again.",
  "client-secret-created": "A client of OAuth got another secret, whose id is in `clientSecretId`.",
  "client-secret-deleted": "A secret of a client of OAuth was deleted, whose id is in `clientSecretId`.",
  "client-refused":
    "A client of OAuth could not be authenticated. `reason`: `unknown` (also a deleted client) or `wrong-credentials`.",
  "device-code-reused":
    "A device code was used again, long after the first use: someone may have a copy. Its session was revoked.",
  "device-decided":
    "A user decided about the request of a device. `reason`: `allowed` or `denied`. `scope` contains what the device asked for.",
  "authorization-allowed":
    "A user allowed a client to use `scope` of `audience`, or the service did so without asking, because the client is first-party (`reason`: `first-party`) or the user had allowed it before (`granted-before`).",
  "authorization-denied": "A user denied the request of a client.",
  "grant-deleted": "A user withdrew what a client was allowed. Its sessions, codes and tokens were revoked.",
  "signing-key-rotated": "Another key signs, immediately or after it has been published for long enough.",
  "signing-key-revoked": "A signing key was revoked, and all tokens that it signed.",
  "database-restored":
    "`latchkey restore` revoked what a backup had restored. `reason` is the option for passwords: `audit-log`, `end-passwords` or `keep-passwords`.",
} as const;

export type AuditEvent = keyof typeof auditEvents;

/** Changes, whose statements store the event themselves (recordEvent.ts): both are committed, or neither. */
export const storedWithChange: ReadonlySet<AuditEvent> = new Set([
  "user-registered",
  "user-created",
  "user-blocked",
  "user-unblocked",
  "roles-changed",
  "user-deleted",
  "password-changed",
  "sessions-ended",
  "session-created",
  "session-ended",
  "authorization-code-reused",
  "refresh-token-reused",
  "token-revoked",
  "role-changed",
  "role-deleted",
  "api-created",
  "api-changed",
  "api-deleted",
  "api-key-created",
  "api-key-changed",
  "api-key-rotated",
  "api-key-deleted",
  "api-key-revoked",
  "client-created",
  "client-changed",
  "client-deleted",
  "client-secret-created",
  "client-secret-deleted",
  "device-code-reused",
  "device-decided",
  "authorization-allowed",
  "authorization-denied",
  "grant-deleted",
]);

/** Routine, and too many to be stored. */
export const onlyLogged: ReadonlySet<AuditEvent> = new Set([
  "session-refreshed",
  "refresh-token-repeated",
  "client-document-read",
  "client-token-issued",
]);

/** Anybody can cause these in any number, so only a limited number is stored (writer.ts). */
export const refusals: ReadonlySet<AuditEvent> = new Set([
  "password-refused",
  "throttled",
  "token-refused",
  "scope-refused",
  "refresh-refused",
  "authorization-code-refused",
  "api-key-refused",
  "client-refused",
  "client-document-refused",
]);

/**
 * What else is recorded about an event. `userId`: the user that it is about. `keyId`: the `kid` of a signing key. `scope`: the
 * scopes that were missing, or those of a role, an API or a token. `audience`: that of an API, or of a token for one. `roles`:
 * the names of the roles of a user, separated by spaces.
 */
const textDetails = [
  "userId",
  "sessionId",
  "keyId",
  "apiKeyId",
  "clientId",
  "clientSecretId",
  "reason",
  "limit",
  "role",
  "roles",
  "audience",
  "scope",
] as const;
/** `passwordEpoch` numbers the changes of a user's password. The others count the users of an import or export. */
const numberDetails = ["passwordEpoch", "imported", "existing", "refused", "users"] as const;

export type AuditDetails = {
  [Name in (typeof textDetails)[number]]?: string | undefined;
} & { [Name in (typeof numberDetails)[number]]?: number | undefined };

const auditDetails = [...textDetails, ...numberDetails];

/** @returns only the members that may be recorded: the argument can be a principal, for example */
export function recordable(details: AuditDetails): AuditDetails {
  const recorded: Record<string, unknown> = {};
  for (const name of auditDetails) if (details[name] !== undefined) recorded[name] = details[name];
  return recorded;
}

/** Records an event. Within a request, its id and the client's address are recorded as well. */
export type Audit = (event: AuditEvent, details: AuditDetails) => void;
