// Generated from openapi.yaml by `npm run generate`. Do not edit.
/** Which credentials each operation takes: alternatives of scheme and scopes. */
export const security = {
  createUser: [],
  getCurrentUser: [{"basicAuth":[]},{"bearerAuth":[]}],
  deleteUser: [{"basicAuth":[]}],
  changePassword: [{"basicAuth":[]},{"bearerAuth":[]}],
  getUser: [{"basicAuth":[]},{"bearerAuth":[]}],
  issueToken: [{"basicAuth":[]}],
  refreshToken: [],
  revokeToken: [{"bearerAuth":[]}],
  createSession: [{"basicAuth":[]}],
  listSessions: [{"basicAuth":[]},{"bearerAuth":[]}],
  endAllSessions: [{"basicAuth":[]},{"bearerAuth":[]}],
  endSession: [{"basicAuth":[]},{"bearerAuth":[]}],
  getResource: [{"basicAuth":[]},{"bearerAuth":[]}],
  getJwks: [],
  getLiveness: [],
  getReadiness: [],
  getDocs: [],
  getOpenapiYaml: [],
  getOpenapiJson: [],
  getProblem: [],
} as const;
