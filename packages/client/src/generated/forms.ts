// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** The operations whose body is a form. */
export const formOperations: readonly string[] = [
  "POST /oauth/device-authorization",
  "POST /oauth/introspect",
  "POST /oauth/revoke",
  "POST /oauth/authorize",
];
