// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** The operations whose body is a form. */
export const formOperations: readonly string[] = [
  "POST /oauth/token",
  "POST /oauth/device-authorization",
  "POST /oauth/introspect",
  "POST /oauth/revoke",
  "POST /oauth/authorize",
  "POST /oauth/sign-in",
  "POST /oauth/sign-up",
  "POST /oauth/consent",
  "POST /oauth/device",
  "POST /oauth/sign-out",
  "POST /oauth/sign-out-confirmation",
];
