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
    /** End an API key, of the caller or of any user, by the id at the end of the path. */
    endKey: operations.filter((one) => one.method === "DELETE" && /\/api-keys\/\{\w+\}$/.test(one.path)),
    revokeKey: find((one) => one.schemes.length === 0 && takes(one, "key")),
    /** Tells whether a token in the body is valid. */
    introspect: find((one) => one.scopes.length > 0 && takes(one, "token")),
    /** Revokes a token in the body. */
    revokePresented: find((one) => one.schemes.length === 0 && takes(one, "token")),
    /** Returns the public keys. */
    keys: find((one) => one.method === "GET" && one.returnedNames.has("keys") && one.returnedNames.has("kid")),
  };
}
