// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** The operations that take a token. */
export const bearerOperations: readonly string[] = [
  "GET /api/users/me",
  "PUT /api/users/me/password",
  "GET /api/users/{id}",
  "GET /api/users/{id}/api-keys",
  "DELETE /api/users/{id}/api-keys/{key_id}",
  "DELETE /api/token",
  "GET /api/sessions",
  "DELETE /api/sessions",
  "DELETE /api/sessions/{id}",
  "POST /api/api-keys",
  "GET /api/api-keys",
  "GET /api/api-keys/{id}",
  "PATCH /api/api-keys/{id}",
  "DELETE /api/api-keys/{id}",
  "POST /api/api-keys/{id}/rotations",
  "GET /api/audit-events",
  "GET /api/resource",
];
