// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** The scopes of this service, with their descriptions. */
export const scopes = {
  "account:read": "See your own sessions, API keys and grants.",
  "account:write": "Change your own password, sessions, API keys and grants. Applications cannot change the password.",
  "roles:read": "See roles and their scopes.",
  "roles:write": "Define and delete roles, and assign them to users.",
  "apis:read": "See registered APIs and their scopes.",
  "apis:write": "Register, change and delete APIs.",
  "clients:read": "See the clients of OAuth.",
  "clients:write": "Register, change and delete clients of OAuth, and create their secrets.",
  "revocations:read": "Follow the revocation list, to reject revoked credentials in another service.",
  "audit:read": "See the audit events of all users.",
  "tokens:introspect": "Verify any token or API key, and see its user, roles and scopes.",
  "users:read": "See all users, their roles, sessions and API keys.",
  "users:write": "Create, block and delete users, set their passwords, and end their sessions and API keys.",
  "openid": "See who you are.",
  "profile": "See your username.",
  "offline_access": "Stay signed in.",
} as const;

export type Scope = keyof typeof scopes;
