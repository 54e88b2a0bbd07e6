// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** The operations that take a token. */
export const bearerOperations: readonly string[] = [
  "GET /api/users",
  "POST /api/users",
  "GET /api/users/me",
  "PUT /api/users/me/password",
  "GET /api/users/{id}",
  "PATCH /api/users/{id}",
  "DELETE /api/users/{id}",
  "PUT /api/users/{id}/password",
  "GET /api/users/{id}/sessions",
  "DELETE /api/users/{id}/sessions",
  "DELETE /api/users/{id}/sessions/{session_id}",
  "DELETE /api/token",
  "GET /api/sessions",
  "DELETE /api/sessions",
  "DELETE /api/sessions/{id}",
  "GET /api/resource",
];
