/**
 * Finds the operations that issue, accept and end credentials. They are recognized by what they take and return, not by
 * their ids, because another contract may use other names or lack an operation.
 */
import type { Api, Operation } from "./operations.ts";

export type Roles = ReturnType<typeof rolesOf>;

export function rolesOf(api: Api) {
  const { operations } = api;
  const find = (test: (operation: Operation) => boolean) => operations.find(test);
  const takes = ({ body }: Operation, ...names: string[]) => {
    const members = Object.keys(api.resolve(body?.schema ?? {}).properties ?? {});
    return names.every((name) => members.includes(name));
  };
  const isForEveryone = ({ body, parameters, scopes }: Operation) =>
    !body?.required &&
    !parameters.some(({ in: place, required }) => required || place === "path") &&
    scopes.length === 0;
  const asks = ({ parameters }: Operation, ...names: string[]) =>
    names.every((name) => parameters.some((one) => one.in === "query" && one.name === name));
  const pageOf = (form: Operation | undefined) => find((one) => one.method === "GET" && one.path === form?.path);
  const needs = ({ schemes }: Operation, ...wanted: string[]) => schemes.join() === wanted.join();

  const signIn = find((one) => isForEveryone(one) && needs(one, "basic") && one.returnedNames.has("refresh_token"));
  const issue = find((one) => isForEveryone(one) && needs(one, "basic") && one.returnedNames.has("token"));
  const self = find(
    (one) =>
      one.method === "GET" && isForEveryone(one) && one.returnedNames.has("username") && needs(one, "basic", "bearer"),
  );
  const anyCaller = find(
    (one) =>
      one.method === "GET" && isForEveryone(one) && needs(one, "basic", "bearer") && !one.returnedNames.has("id"),
  );
  const consent = find((one) => takes(one, "authorization", "decision"));
  const signInForms = operations.filter((one) => takes(one, "authorization", "username", "password"));
  // Registration may be off.
  const signInForm = signInForms.find((one) => !one.statuses.includes(404));
  const signUpForm = signInForms.find((one) => one.statuses.includes(404));
  const decideDevice = find((one) => takes(one, "user_code", "decision"));
  const signOutForm = find((one) => takes(one, "token", "post_logout_redirect_uri"));
  const decideByApi = find((one) => takes(one, "decision") && one.path.endsWith("/{id}"));
  const createClient = find((one) => takes(one, "grant_types") && one.returnedNames.has("client_secret"));
  const listGrants = find((one) => one.method === "GET" && one.returnedNames.has("grants"));
  const userPath = api.registration && `${api.registration.path}/{id}`;
  const isEndOf = (path: string | undefined) => (one: Operation) =>
    path !== undefined && one.method === "DELETE" && one.path === path;
  return {
    /** Registers a user. */
    registration: api.registration,
    /** Begins a session. */
    signIn,
    /** Issues a token without a session. */
    issue,
    /** Returns the caller. */
    self,
    /** Accepts any valid credentials, with the least work. */
    anyCaller: anyCaller ?? self,
    refresh: find((one) => takes(one, "refresh_token")),
    changePassword: find((one) => takes(one, "current_password", "new_password")),
    listSessions: find((one) => one.method === "GET" && one.path === signIn?.path && one.schemes.length > 0),
    endAllSessions: find(isEndOf(signIn?.path)),
    endSession: find(
      (one) =>
        one.method === "DELETE" &&
        signIn !== undefined &&
        /^\/\{\w+\}$/.test(one.path.slice(signIn.path.length)) &&
        one.path.startsWith(signIn.path),
    ),
    /** Creates an API key of the caller. */
    createKey: find((one) => one.method === "POST" && takes(one, "name", "scopes") && one.returnedNames.has("key")),
    revokeToken: find((one) => isEndOf(issue?.path)(one) && needs(one, "bearer")),
    deleteUser: find(isEndOf(self?.path)),
    /** The administration of a user, by the id in the path. */
    changeAnyUser: find((one) => one.method === "PATCH" && one.path === userPath),
    deleteAnyUser: find(isEndOf(userPath)),
    setAnyPassword: find(
      (one) => userPath !== undefined && one.path.startsWith(`${userPath}/`) && takes(one, "new_password"),
    ),
    endAnySessions: find(isEndOf(`${userPath}/sessions`)),
    endAnySession: find((one) => one.method === "DELETE" && one.path.startsWith(`${userPath}/sessions/`)),
    /** Changes an API key of the caller. */
    changeKey: find((one) => one.method === "PATCH" && /\/api-keys\/\{\w+\}$/.test(one.path)),
    /** End an API key, of the caller or of any user, by the id at the end of the path. */
    endKey: operations.filter((one) => one.method === "DELETE" && /\/api-keys\/\{\w+\}$/.test(one.path)),
    revokeKey: find((one) => one.schemes.length === 0 && takes(one, "key")),
    /** Tells whether a token in the body is valid. */
    introspect: find((one) => one.scopes.length > 0 && takes(one, "token")),
    /** Revokes a token in the body. */
    revokePresented: find((one) => one.schemes.length === 0 && takes(one, "token")),
    /** Registers a client of OAuth, as an administrator. */
    createClient,
    deleteClient: find(
      (one) => one.method === "DELETE" && createClient !== undefined && one.path === `${createClient.path}/{client_id}`,
    ),
    createSecret: find((one) => one.method === "POST" && one.path.endsWith("/{client_id}/secrets")),
    deleteSecret: find((one) => one.method === "DELETE" && one.path.endsWith("/secrets/{secret_id}")),
    /** Registers a client, as the client itself. */
    registerClient: find((one) => one.method === "POST" && takes(one, "client_name")),
    /** Issues tokens to clients. */
    tokenEndpoint: find((one) => takes(one, "grant_type")),
    startDevice: find((one) => one.returnedNames.has("device_code")),
    /** Begins an authorization, in a link or in a form. Pages of any origin may do so. */
    authorize: find((one) => asks(one, "code_challenge")),
    submitAuthorization: find((one) => takes(one, "code_challenge")),
    signInForm,
    signInPage: pageOf(signInForm),
    signUpForm,
    signUpPage: pageOf(signUpForm),
    consent,
    consentPage: pageOf(consent),
    decideDevice,
    devicePage: pageOf(decideDevice),
    signOutForm,
    signOutPage: find((one) => one.method === "GET" && asks(one, "post_logout_redirect_uri")),
    /** Show and decide an authorization, for the page of a team. */
    getAuthorization: pageOf(decideByApi),
    decideByApi,
    listGrants,
    deleteGrant: find(isEndOf(listGrants && `${listGrants.path}/{id}`)),
    userinfo: operations.filter((one) => one.scopes.join() === "openid"),
    /** Returns the public keys. */
    keys: find(
      (one) =>
        one.method === "GET" &&
        one.schemes.length === 0 &&
        one.returnedNames.has("keys") &&
        one.returnedNames.has("kid"),
    ),
  };
}
