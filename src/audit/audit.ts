/** What is told to those who have to know later who did what: an event a line, without any secret. */
import type { Client } from "../contract/binding.ts";

/** Every event, and what it means. Names stay: somebody's alerts depend on them. */
export const auditEvents = {
  "user-registered": "Somebody registered.",
  "user-deleted": "A user was deleted, by themselves.",
  "password-accepted": "A username and its password were sent, with any operation, and were right.",
  "password-refused":
    "A username and a password were sent, and were not right. `reason`: `unknown-user` or `wrong-password`.",
  "password-changed": "A user changed the password. All tokens and sessions of the user have ended.",
  throttled:
    "A password was not checked, or a registration not made, since there were too many tries. `limit` says of what. `userId` only where the user was signed in already.",
  "token-issued": "A token was issued for a password.",
  "token-refused":
    "A token was sent and not accepted. `reason` is the problem: `invalid-token`, `token-expired` or `token-revoked`.",
  "token-revoked": "A token that belongs to no session was revoked by its holder.",
  "session-created": "Somebody signed in for longer.",
  "session-refreshed": "A refresh token was used.",
  "session-ended": "A session was ended by its user, also by revoking one of its tokens.",
  "sessions-ended": "A user signed out everywhere. All tokens and sessions of the user have ended.",
  "refresh-refused":
    "A refresh token was sent and not accepted. `reason` is the problem: `invalid-token`, `token-expired`, `token-revoked` or `token-reused`.",
  "refresh-token-reused":
    "A refresh token was used a second time, too late for a lost answer: somebody has a copy. The session has ended.",
  "signing-key-rotated": "A signing key was added, and will sign when it has been published for long enough.",
  "signing-key-revoked": "A signing key was revoked, with all its tokens.",
} as const;

export type AuditEvent = keyof typeof auditEvents;

export type AuditDetails = {
  userId?: string | undefined;
  sessionId?: string | undefined;
  /** The key's `kid`. */
  keyId?: string | undefined;
  reason?: string;
  limit?: string;
};

/** @param client whose request it was; `undefined` for what nobody asked for over HTTP */
export type Audit = (event: AuditEvent, client: Client | undefined, details: AuditDetails) => void;
