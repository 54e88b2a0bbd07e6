/** The handler of each operation. A missing handler does not compile. */

import type { Apis } from "./access/apis.ts";
import type { Grants } from "./access/grants.ts";
import {
  createApi,
  deleteApi,
  deleteRole,
  getApi,
  getRole,
  listApis,
  listRoles,
  putRole,
  updateApi,
} from "./access/handlers.ts";
import type { Access } from "./access/rights.ts";
import type { Roles } from "./access/roles.ts";
import type { ApiKeys } from "./apiKeys/apiKeys.ts";
import {
  createApiKey,
  deleteApiKey,
  deleteUserApiKey,
  getApiKey,
  listApiKeys,
  listUserApiKeys,
  revokeApiKey,
  rotateApiKey,
  updateApiKey,
} from "./apiKeys/handlers.ts";
import type { Audit } from "./audit/audit.ts";
import { listAuditEvents } from "./audit/handlers.ts";
import type { AuditStore } from "./audit/storeTypes.ts";
import type { ClientAdministration } from "./clients/administration/administration.ts";
import {
  createClient,
  createClientSecret,
  deleteClient,
  deleteClientSecret,
  getClient,
  listClients,
  updateClient,
} from "./clients/administration/handlers.ts";
import type { AuthenticateClient } from "./clients/authentication.ts";
import { registerClient } from "./clients/handlers.ts";
import type { RegisterClient } from "./clients/registration.ts";
import type { Documentation } from "./documentation/documentation.ts";
import { getDocs, getIndex, getOpenapiJson, getOpenapiYaml, getProblem } from "./documentation/handlers.ts";
import type { ForwardAuth } from "./forwardAuth/forwardAuth.ts";
import { forwardAuth } from "./forwardAuth/handlers.ts";
import { getLiveness, getReadiness } from "./health/handlers.ts";
import type { Authorizations } from "./oauth/authorization/authorizations.ts";
import type { DescribeAccess } from "./oauth/authorization/describedScopes.ts";
import {
  authorize,
  decideAuthorization,
  getAuthorization,
  submitAuthorizationRequest,
} from "./oauth/authorization/handlers.ts";
import type { DeviceCodes } from "./oauth/devices/deviceCodes.ts";
import { startDeviceAuthorization } from "./oauth/devices/handlers.ts";
import {
  getOpenidConfiguration,
  getResourceMetadata,
  getServerMetadata,
  getUserinfo,
  introspectToken,
  issueOAuthTokens,
  postUserinfo,
  revokeOAuthToken,
} from "./oauth/handlers.ts";
import type { Introspect } from "./oauth/introspection.ts";
import type { MetadataParts } from "./oauth/metadata.ts";
import type { RevokePresented } from "./oauth/revocation.ts";
import type { TokenEndpoint } from "./oauth/token.ts";
import { deleteGrant, listGrants } from "./oauth/userGrants/handlers.ts";
import type { UserGrants } from "./oauth/userGrants/userGrants.ts";
import type { Handlers, OperationId } from "./openapi/binding.ts";
import { decideDevice, getDevicePage } from "./pages/deviceHandlers.ts";
import {
  decideConsent,
  getConsentPage,
  getSignInPage,
  getSignOutPage,
  getSignUpPage,
  type PageParts,
  signIn,
  signOut,
  signUp,
  submitSignOutRequest,
} from "./pages/handlers.ts";
import type { AnyTokenPrincipal } from "./principal.ts";
import { getResource } from "./resource/handlers.ts";
import type { RevocationFeed } from "./revocations/feed.ts";
import { listRevocations } from "./revocations/handlers.ts";
import type { BrowserSessions } from "./sessions/browser/browserSessions.ts";
import { createSession, endAllSessions, endSession, listSessions, refreshToken } from "./sessions/handlers.ts";
import type { Sessions } from "./sessions/sessions.ts";
import type { AccessTokens } from "./tokens/accessTokens.ts";
import { getJwks, issueToken, revokeToken } from "./tokens/handlers.ts";
import type { SigningKeys } from "./tokens/signingKeys.ts";
import type { Administration } from "./users/administration/administration.ts";
import {
  deleteUserById,
  endUserSession,
  endUserSessions,
  listUserSessions,
  listUsers,
  setUserPassword,
  updateUser,
} from "./users/administration/handlers.ts";
import { changePassword, createUser, deleteUser, getCurrentUser, getUser } from "./users/handlers.ts";
import type { Users } from "./users/users.ts";

/** In bytes, of the operations whose bodies may be larger than all others: they may have the contract of an API. */
export const bodyLimits: Partial<Record<OperationId, number>> = { createApi: 1_048_576, updateApi: 1_048_576 };

/** What the handlers depend on. */
export type HandlerDependencies = PageParts & {
  access: Access;
  users: Users;
  administration: Administration;
  sessions: Sessions;
  apiKeys: ApiKeys;
  roles: Roles;
  apis: Apis;
  clientAdministration: ClientAdministration;
  registerClient: RegisterClient;
  /** Whether the id of a client can be the URL of a document. */
  hasClientDocuments: boolean;
  /** Whether programs can register themselves. */
  hasClientRegistration: boolean;
  forwardAuth: ForwardAuth;
  grants: Grants;
  tokens: AccessTokens;
  keys: SigningKeys;
  revocationFeed: RevocationFeed;
  /** Revokes an access token, with its session if it has one. */
  revokeAccessToken(principal: AnyTokenPrincipal): Promise<void>;
  authenticateClient: AuthenticateClient;
  deviceCodes: DeviceCodes;
  describeAccess: DescribeAccess;
  tokenEndpoint: TokenEndpoint;
  /** Authenticates and authorizes a caller of `introspectToken` that is no client. */
  authorizeIntrospection(authorization: string | undefined): unknown;
  authorizations: Authorizations;
  userGrants: UserGrants;
  browserSessions: BrowserSessions;
  clock: () => Date;
  /** The page of a team that replaces the pages of this service. */
  authorizationPageUrl: string | undefined;
  introspect: Introspect;
  revokePresented: RevokePresented;
  /** Of all tokens: `PUBLIC_URL`, or the default. */
  issuer: string;
  /** `undefined` with `DOCUMENTATION=off`. */
  documentation: Documentation | undefined;
  publicUrl: string | undefined;
  isRegistrationOpen: boolean;
  isMigrated(): Promise<boolean>;
  requireWritable: () => Promise<void>;
  audit: Audit;
  auditEvents: Pick<AuditStore, "list">;
  isStopping(): boolean;
};

export const handlers = (dependencies: HandlerDependencies): Handlers => ({
  createUser: createUser(dependencies),
  getUser: getUser(dependencies),
  getCurrentUser: getCurrentUser(dependencies.users),
  changePassword: changePassword(dependencies.users),
  deleteUser: deleteUser(dependencies.users),

  listUsers: listUsers(dependencies.administration),
  updateUser: updateUser(dependencies),
  setUserPassword: setUserPassword(dependencies),
  deleteUserById: deleteUserById(dependencies),
  listUserSessions: listUserSessions(dependencies.administration, dependencies.sessions),
  endUserSessions: endUserSessions(dependencies),
  endUserSession: endUserSession(dependencies),

  issueToken: issueToken(dependencies),
  revokeToken: revokeToken(dependencies.revokeAccessToken),
  getJwks: getJwks(dependencies.keys),

  introspectToken: introspectToken(dependencies),
  revokeOAuthToken: revokeOAuthToken(dependencies),
  authorize: authorize(dependencies),
  submitAuthorizationRequest: submitAuthorizationRequest(dependencies.publicUrl),
  getAuthorization: getAuthorization(dependencies),
  decideAuthorization: decideAuthorization(dependencies),
  listGrants: listGrants(dependencies.userGrants),
  deleteGrant: deleteGrant(dependencies.userGrants),

  getServerMetadata: getServerMetadata(metadataParts(dependencies)),
  getOpenidConfiguration: getOpenidConfiguration(metadataParts(dependencies)),
  getResourceMetadata: getResourceMetadata(dependencies),
  issueOAuthTokens: issueOAuthTokens(dependencies),
  startDeviceAuthorization: startDeviceAuthorization(dependencies),
  getUserinfo: getUserinfo(dependencies.users),
  postUserinfo: postUserinfo(dependencies.users),

  getSignInPage: getSignInPage(dependencies),
  signIn: signIn(dependencies),
  getSignUpPage: getSignUpPage(dependencies),
  signUp: signUp(dependencies),
  getDevicePage: getDevicePage(dependencies),
  decideDevice: decideDevice(dependencies),
  getConsentPage: getConsentPage(dependencies),
  decideConsent: decideConsent(dependencies),
  getSignOutPage: getSignOutPage(dependencies),
  submitSignOutRequest: submitSignOutRequest(dependencies),
  signOut: signOut(dependencies),

  createSession: createSession(dependencies.sessions, dependencies.publicUrl),
  refreshToken: refreshToken(dependencies.sessions),
  listSessions: listSessions(dependencies.sessions),
  endSession: endSession(dependencies.sessions),
  endAllSessions: endAllSessions(dependencies.users),

  createApiKey: createApiKey(dependencies.apiKeys, dependencies.publicUrl),
  listApiKeys: listApiKeys(dependencies.apiKeys),
  getApiKey: getApiKey(dependencies.apiKeys),
  updateApiKey: updateApiKey(dependencies.apiKeys),
  deleteApiKey: deleteApiKey(dependencies.apiKeys),
  rotateApiKey: rotateApiKey(dependencies.apiKeys, dependencies.publicUrl),
  revokeApiKey: revokeApiKey(dependencies.apiKeys),
  listUserApiKeys: listUserApiKeys(dependencies.apiKeys),
  deleteUserApiKey: deleteUserApiKey(dependencies.apiKeys),

  listRoles: listRoles(dependencies.roles),
  getRole: getRole(dependencies.roles),
  putRole: putRole(dependencies.roles, dependencies.publicUrl),
  deleteRole: deleteRole(dependencies.roles),
  listApis: listApis(dependencies.apis),
  createApi: createApi(dependencies.apis, dependencies.publicUrl),
  getApi: getApi(dependencies.apis),
  updateApi: updateApi(dependencies.apis),
  deleteApi: deleteApi(dependencies.apis),

  listClients: listClients(dependencies.clientAdministration),
  createClient: createClient(dependencies.clientAdministration, dependencies.publicUrl),
  getClient: getClient(dependencies.clientAdministration),
  updateClient: updateClient(dependencies.clientAdministration),
  deleteClient: deleteClient(dependencies.clientAdministration),
  createClientSecret: createClientSecret(dependencies.clientAdministration),
  deleteClientSecret: deleteClientSecret(dependencies.clientAdministration),
  registerClient: registerClient(dependencies.registerClient),

  listAuditEvents: listAuditEvents(dependencies.auditEvents),
  forwardAuth: forwardAuth(dependencies.forwardAuth),

  listRevocations: listRevocations(dependencies.revocationFeed),

  getResource,

  getLiveness,
  getReadiness: getReadiness(dependencies.isMigrated, dependencies.requireWritable, dependencies.isStopping),

  getIndex: getIndex(dependencies.documentation, dependencies.publicUrl),
  getApiIndex: getIndex(dependencies.documentation, dependencies.publicUrl),
  getDocs: getDocs(dependencies.documentation),
  getOpenapiYaml: getOpenapiYaml(dependencies.documentation),
  getOpenapiJson: getOpenapiJson(dependencies.documentation),
  getProblem: getProblem(dependencies.documentation),
});

const metadataParts = ({
  issuer,
  keys,
  tokenEndpoint,
  documentation,
  ...clients
}: HandlerDependencies): MetadataParts => ({
  issuer,
  keys,
  grantTypes: tokenEndpoint.grantTypes,
  hasClientDocuments: clients.hasClientDocuments,
  hasClientRegistration: clients.hasClientRegistration,
  hasDocumentation: documentation !== undefined,
});
