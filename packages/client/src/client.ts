/** `createLatchkeyClient`: typed calls of every operation, and a session that refreshes itself. */
import createClient, { type Client, type Middleware } from "openapi-fetch";
import { bearerOperations } from "./generated/bearer.ts";
import { formOperations } from "./generated/forms.ts";
import type { components, paths } from "./generated/openapi.ts";
import {
  ProblemError,
  type ProblemOf,
  problemIn,
  type Result,
  requireLatchkeyResponse,
  type Slug,
  slugOf,
  withContractType,
} from "./problems.ts";
import { globalFetch, hardened, isBelow, withoutRedirects } from "./requests.ts";
import { type Fetch, isSafe, type RetryBounds, retrying, unlessAborted } from "./retry.ts";
import {
  createSessions,
  inMemory,
  type RefreshRefusal,
  type Session,
  type TokenStorage,
  unlimited,
} from "./session.ts";

export type LatchkeyOptions = {
  /** The URL of the service, such as `https://auth.example.com`. Tokens are sent only to URLs below it. */
  baseUrl: string;
  /** Stores the refresh token. Tabs with the same storage share the session. Default: memory. */
  storage?: TokenStorage | undefined;
  /**
   * Called once for each session that this client uses: after `signIn` and `signUp`, and when a session of the storage was
   * refreshed for the first time. Not called for a page that finds no session.
   */
  onSignedIn?: (() => void) | undefined;
  /**
   * Called once for each session that ends: with the problem if the service ended it, and without one after signing out, here
   * or in another tab, or if another tab has signed in. Not called for a session that `signIn` replaces.
   */
  onSignedOut?: ((refusal?: RefreshRefusal) => void) | undefined;
  /** The limits of automatic retries. Default: 3 tries within 10 seconds. */
  retry?: Partial<RetryBounds> | undefined;
  /** Replaces the global `fetch`. It sees passwords and tokens, and must not follow redirects. */
  fetch?: Fetch | undefined;
};

/**
 * Each method returns a problem as `error`. It throws if there is no response, or one that is not from Latchkey.
 * A call belongs to the session that is current when it is made, and is never sent with the token of another session.
 */
export type LatchkeyClient = Client<paths> & {
  /**
   * Registers a user and signs in.
   * @returns the user; or the problem of the registration or, if the user was created and cannot sign in now, of the sign-in
   */
  signUp(
    username: string,
    password: string,
    signal?: AbortSignal | null,
  ): Promise<Result<"createUser"> | Extract<Result<"createSession">, { error: object }>>;
  /**
   * Starts a session, and sends its token with later calls. An earlier session of this client or its storage is replaced and
   * then revoked. If the revocation fails, `signIn` still succeeds. The old session then remains until it expires or its user
   * ends it (`DELETE /api/sessions`).
   */
  signIn(username: string, password: string, signal?: AbortSignal | null): Promise<Result<"createSession">>;
  /** Ends the session. If there is an `error`, the session continues. A session that had already ended is no error. */
  signOut(signal?: AbortSignal | null): Promise<Result<"revokeToken">>;
  /** Ends all sessions of the user, including this one. */
  signOutEverywhere(signal?: AbortSignal | null): Promise<Result<"endAllSessions">>;
  /**
   * Changes the password and ends all sessions, including this one. Sign in again with the new password. The API keys of the user
   * are deleted unless `keepApiKeys` is true.
   */
  changePassword(
    currentPassword: string,
    newPassword: string,
    options?: AbortSignal | PasswordChangeOptions | null,
  ): Promise<Result<"changePassword">>;
  /** Whether there is a session, in this client or its storage. Sends no request: the service may have ended it. */
  isSignedIn(): Promise<boolean>;
  /**
   * The current user, as the service knows it now; `undefined` if nobody is signed in.
   * @throws {ProblemError} if the service cannot respond now
   */
  user(signal?: AbortSignal | null): Promise<User | undefined>;
  /**
   * An access token that is still valid, for requests to another service; `undefined` if nobody is signed in. Ask for it before
   * each request: the client remembers it, and gets the next one shortly before it expires. With `audience`, the token is for
   * that API.
   * @throws {ProblemError} if the service cannot issue it: there is no such API or scope, or the service does not respond now
   */
  accessToken(options?: AbortSignal | AccessTokenOptions | null): Promise<string | undefined>;
};

export type User = components["schemas"]["User"];

export type PasswordChangeOptions = { keepApiKeys?: boolean | undefined; signal?: AbortSignal | null | undefined };

export type AccessTokenOptions = {
  /** The API that the token is for, such as `https://orders.example.com`. By default, Latchkey itself. */
  audience?: string | undefined;
  /** The scopes that the token is limited to, separated by spaces. By default, all that the user has. */
  scope?: string | undefined;
  /** A token that the API rejected with a 401. Another one is issued in its place, with the current rights of the user. */
  rejected?: string | undefined;
  signal?: AbortSignal | null | undefined;
};

/** Problems after which a request is sent again with a new token. */
const tokenProblems: Slug[] = ["token-expired", "token-revoked", "invalid-token"];

export function createLatchkeyClient({
  baseUrl,
  storage = inMemory(),
  onSignedIn = () => {},
  onSignedOut = () => {},
  retry: { tries = 3, withinSeconds = 10 } = {},
  fetch: ownFetch = globalFetch,
}: LatchkeyOptions): LatchkeyClient {
  const sender = (fetch: Fetch, isRepeatable = isSafe): Fetch => {
    const send = retrying(withoutRedirects(fetch), { tries, withinSeconds }, isRepeatable);
    return (request) => send(hardened(request));
  };
  const anonymous = createClient<paths>({ baseUrl, fetch: sender(ownFetch) });
  anonymous.use(latchkeyResponses);
  const sessions = createSessions({
    api: anonymous,
    retryingFetch: sender(ownFetch, () => true), // a repeated refresh returns the same successor
    storage,
    storageKey: `latchkey ${baseUrl}`,
    onSignedIn,
    onSignedOut,
  });
  const api = createClient<paths>({ baseUrl });
  api.use(latchkeyResponses);

  /** The operations. Each call uses the session that is current when it is made. */
  function callsWith(current: () => Session | undefined): Client<paths> {
    const call = (method: string, path: string, { fetch = ownFetch, ...init }: CallOptions = {}) => {
      const send = sender(fetch);
      const operation = `${method.toUpperCase()} ${path}`;
      const sendOnce = bearerOperations.includes(operation) ? authorized(send, current()) : send;
      const form = formOperations.includes(operation) && { bodySerializer: asForm, headers: formHeaders };
      return (api.request as AnyCall)(method, path, { ...form, ...init, fetch: sendOnce });
    };
    const calls = methods.map((method) => [method, (path: string, init?: CallOptions) => call(method, path, init)]);
    return { ...api, ...Object.fromEntries(calls), request: call };
  }

  /**
   * Adds the token of a session as the last step, so that no middleware sees it. It adds none if a middleware changed the
   * URL to another service, or if the caller set credentials. A request that was rejected because of its token was not
   * processed: it is sent once more with a new token of the same session.
   */
  function authorized(send: Fetch, session: Session | undefined): Fetch {
    return async (unsent) => {
      const request = hardened(unsent);
      if (request.headers.has("Authorization") || !isBelow(baseUrl, request.url)) return send(request);
      const token = await unlessAborted(sessions.token(session), request.signal);
      if (typeof token === "function") return token();
      if (token === undefined) return send(request);
      const response = await send(withToken(request, token));
      const problem = response.status === 401 ? await problemIn(response) : undefined;
      if (!problem || !tokenProblems.includes(slugOf(problem))) return response;
      const renewed = await unlessAborted(sessions.renew(session, unlimited, token), request.signal);
      if (typeof renewed === "function") return renewed();
      return renewed === undefined ? response : send(withToken(request, renewed));
    };
  }

  async function signIn(username: string, password: string, signal: AbortSignal | null = null) {
    // With CORS_ORIGINS=*, a page of another origin may sign in only with this type, which forms cannot send.
    const headers = {
      Authorization: basicAuthorization(username, password),
      "Content-Type": "application/json",
    };
    const result = await anonymous.POST("/api/sessions", { headers, signal });
    if (result.data) await sessions.begin(result.data);
    return result;
  }

  return {
    ...callsWith(sessions.current),
    signIn,
    async signUp(username, password, signal = null) {
      const created = await anonymous.POST("/api/users", { body: { username, password }, signal });
      if (created.error) return created;
      const session = await signIn(username, password, signal);
      return session.error ? session : created;
    },
    async signOut(signal = null) {
      const session = sessions.current();
      const result = await callsWith(() => session).DELETE("/api/token", { signal });
      const { response } = result;
      if (result.error && response.status !== 401) return result;
      await sessions.forget(session);
      return { data: undefined, response } as Result<"revokeToken">;
    },
    async signOutEverywhere(signal = null) {
      const session = sessions.current();
      const result = await callsWith(() => session).DELETE("/api/sessions", { signal });
      if (!result.error) await sessions.forget(session);
      return result;
    },
    async changePassword(currentPassword, newPassword, options) {
      const { keepApiKeys = false, signal = null } =
        options && "aborted" in options ? { signal: options } : (options ?? {});
      const session = sessions.current();
      const body = { current_password: currentPassword, new_password: newPassword, keep_api_keys: keepApiKeys };
      const result = await callsWith(() => session).PUT("/api/users/me/password", { body, signal });
      if (!result.error) await sessions.forget(session);
      return result;
    },
    isSignedIn: sessions.exists,
    async user(signal = null) {
      if (!(await sessions.exists())) return undefined;
      const session = sessions.current();
      const { data, error, response } = await callsWith(() => session).GET("/api/users/me", { signal });
      if (error && response.status !== 401) throw new ProblemError(error, response);
      return data;
    },
    async accessToken(options) {
      const {
        signal = null,
        rejected,
        ...limits
      }: AccessTokenOptions = options && "aborted" in options ? { signal: options } : (options ?? {});
      const issued = sessions.tokenToSend(limits, rejected);
      const token = await (signal ? unlessAborted(issued, signal) : issued);
      if (typeof token !== "function") return token;
      const response = token();
      throw new ProblemError((await response.clone().json()) as ProblemOf<"refreshToken">, response);
    },
  };
}

const methods = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/** The options of a call. openapi-fetch's own types are those of `Client<paths>`. */
type CallOptions = Record<string, unknown> & { fetch?: Fetch };
type AnyCall = (method: string, path: string, init: CallOptions) => Promise<unknown>;

const formHeaders = { "Content-Type": "application/x-www-form-urlencoded" };
const asForm = (body: Record<string, string>): string => new URLSearchParams(body).toString();

function withToken(request: Request, token: string): Request {
  const copy = request.clone();
  copy.headers.set("Authorization", `Bearer ${token}`);
  return copy;
}

/** The value of an `Authorization` header with a username and a password, for operations that require the password. */
export function basicAuthorization(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

const latchkeyResponses: Middleware = {
  async onResponse({ request, response, options }) {
    if (!response.ok || options.parseAs === "json") await requireLatchkeyResponse(request, response);
    return withContractType(response);
  },
};
