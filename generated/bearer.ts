// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** The operations that take a token. */
export const bearerOperations: readonly string[] = [
  "GET /api/users/me",
  "PUT /api/users/me/password",
  "GET /api/users/{id}",
  "DELETE /api/token",
  "GET /api/sessions",
  "DELETE /api/sessions",
  "DELETE /api/sessions/{id}",
  "GET /api/audit-events",
  "GET /api/resource",
];
