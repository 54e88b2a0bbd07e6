/** The whole API on one screen: which handler answers which operation. A missing one does not compile. */
import type { Audit } from "./audit/audit.ts";
import type { Documentation } from "./documentation/documentation.ts";
import { getDocs, getIndex, getOpenapiJson, getOpenapiYaml, getProblem } from "./documentation/handlers.ts";
import { getLiveness, getReadiness } from "./health/handlers.ts";
import type { Handlers } from "./openapi/binding.ts";
import { getResource } from "./resource/handlers.ts";
import type { Revocations } from "./revocations/revocations.ts";
import { createSession, endAllSessions, endSession, listSessions, refreshToken } from "./sessions/handlers.ts";
import type { Sessions } from "./sessions/sessions.ts";
import type { AccessTokens } from "./tokens/accessTokens.ts";
import { getJwks, issueToken, revokeToken } from "./tokens/handlers.ts";
import type { SigningKeys } from "./tokens/signingKeys.ts";
import { changePassword, createUser, deleteUser, getCurrentUser, getUser } from "./users/handlers.ts";
import type { Users } from "./users/users.ts";

/** What the handlers work with. */
export type Services = {
  users: Users;
  sessions: Sessions;
  tokens: AccessTokens;
  keys: SigningKeys;
  revocations: Revocations;
  /** Absent where `DOCUMENTATION` is off. */
  documentation: Documentation | undefined;
  publicUrl: string | undefined;
  isMigrated(): Promise<boolean>;
  requireWritable: () => Promise<void>;
  audit: Audit;
  isStopping(): boolean;
};

export const handlers = (services: Services): Handlers => ({
  createUser: createUser(services.users, services.publicUrl),
  getUser: getUser(services.users),
  getCurrentUser: getCurrentUser(services.users),
  changePassword: changePassword(services.users),
  deleteUser: deleteUser(services.users),

  issueToken: issueToken(services.tokens, services.users, services.audit),
  revokeToken: revokeToken(services.revocations, services.sessions.end, services.audit),
  getJwks: getJwks(services.keys),

  createSession: createSession(services.sessions, services.publicUrl),
  refreshToken: refreshToken(services.sessions),
  listSessions: listSessions(services.sessions),
  endSession: endSession(services.sessions),
  endAllSessions: endAllSessions(services.users),

  getResource,

  getLiveness,
  getReadiness: getReadiness(services.isMigrated, services.requireWritable, services.isStopping),

  getIndex: getIndex(services.documentation, services.publicUrl),
  getApiIndex: getIndex(services.documentation, services.publicUrl),
  getDocs: getDocs(services.documentation),
  getOpenapiYaml: getOpenapiYaml(services.documentation),
  getOpenapiJson: getOpenapiJson(services.documentation),
  getProblem: getProblem(services.documentation),
});
