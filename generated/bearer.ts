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
  "GET /api/roles",
  "GET /api/roles/{name}",
  "PUT /api/roles/{name}",
  "DELETE /api/roles/{name}",
  "GET /api/apis",
  "POST /api/apis",
  "GET /api/apis/{audience}",
  "PATCH /api/apis/{audience}",
  "DELETE /api/apis/{audience}",
  "GET /api/resource",
];
