/**
 * The client of a Latchkey: every operation of the contract, typed, and a session that renews itself.
 * Runs in browsers and in Node.
 */
import createClient, { type Client, type Middleware } from "openapi-fetch";
import { bearerOperations } from "../../generated/bearer.ts";
import type { paths } from "../../generated/openapi.ts";
import { problemIn, type Result, refuseStrangers, type Slug, slugOf, withContractsType } from "./problems.ts";
import { globalFetch, hardened, isBelow, withoutRedirects } from "./requests.ts";
import { type Fetch, isSafe, type RetryBounds, retrying, unlessAborted } from "./retry.ts";
import { createSessions, inMemory, type RefreshRefusal, type Session, type TokenStorage } from "./session.ts";

export {
  type OperationId,
  type Problem,
  ProblemError,
  type ProblemOf,
  RedirectError,
  type Result,
  retryAfterSeconds,
  type Slug,
  slugOf,
  UnexpectedAnswerError,
  unwrap,
} from "./problems.ts";
export type { RefreshRefusal, RetryBounds, TokenStorage };

export type LatchkeyOptions = {
  /** Where the service is, such as `https://auth.example.com`. Tokens are sent to URLs below it only. */
  baseUrl: string;
  /** Keeps the refresh token; tabs that share it share the session. In memory alone where there is none. */
  storage?: TokenStorage | undefined;
  /**
   * Called once for each session that is over: with the reason where the service ended it, without one after signing out,
   * here or in another tab, and where another tab has signed in since. Not called for a session that `signIn` replaces.
   */
  onSignedOut?: ((refusal?: RefreshRefusal) => void) | undefined;
  /** How long the client tries by itself: 3 times within 10 seconds, unless told otherwise. */
  retry?: Partial<RetryBounds> | undefined;
  /** Instead of the global one. Gets requests with their passwords and tokens, and must not follow redirects. */
  fetch?: Fetch | undefined;
};

/**
 * Each method gives a problem as `error`, and throws where there was no answer, or none of Latchkey.
 * A call belongs to the session that is signed in when it is made. It is never sent with the token of another.
 */
export type LatchkeyClient = Client<paths> & {
  /**
   * Begins a session. Calls are sent with its token from now on. A session that was signed in before, in this client or in
   * its storage, is replaced and then revoked. Where that fails, `signIn` succeeds all the same, and the old session lives
   * until it expires or its user ends it (`DELETE /api/sessions`).
   */
  signIn(username: string, password: string, signal?: AbortSignal | null): Promise<Result<"createSession">>;
  /** Ends the session. It goes on where there is an `error`; one that had ended before is none. */
  signOut(signal?: AbortSignal | null): Promise<Result<"revokeToken">>;
  /** Ends all sessions of the user, this one too. */
  signOutEverywhere(signal?: AbortSignal | null): Promise<Result<"endAllSessions">>;
  /** Changes the password, which ends all sessions, this one too: sign in again with the new one. */
  changePassword(
    currentPassword: string,
    newPassword: string,
    signal?: AbortSignal | null,
  ): Promise<Result<"changePassword">>;
};

/** Problems of a token that a new one may solve. */
const tokenProblems: Slug[] = ["token-expired", "token-revoked", "invalid-token"];

export function createLatchkeyClient({
  baseUrl,
  storage = inMemory(),
  onSignedOut = () => {},
  retry: { tries = 3, withinSeconds = 10 } = {},
  fetch: ownFetch = globalFetch,
}: LatchkeyOptions): LatchkeyClient {
  const sender = (fetch: Fetch, isRepeatable = isSafe): Fetch => {
    const send = retrying(withoutRedirects(fetch), { tries, withinSeconds }, isRepeatable);
    return (request) => send(hardened(request));
  };
  const anonymous = createClient<paths>({ baseUrl, fetch: sender(ownFetch) });
  anonymous.use(answersOfLatchkey);
  const sessions = createSessions({
    api: anonymous,
    repeating: sender(ownFetch, () => true), // asking again with the same refresh token gives the same successor
    storage,
    storageKey: `latchkey ${baseUrl}`,
    onSignedOut,
  });
  const api = createClient<paths>({ baseUrl });
  api.use(answersOfLatchkey);

  /** The operations, each call of them made under the session that is signed in at that moment. */
  function callsUnder(current: () => Session | undefined): Client<paths> {
    const call = (method: string, path: string, { fetch = ownFetch, ...init }: CallOptions = {}) => {
      const send = sender(fetch);
      const takesToken = bearerOperations.includes(`${method.toUpperCase()} ${path}`);
      const sendOnce = takesToken ? authorized(send, current()) : send;
      return (api.request as AnyCall)(method, path, { ...init, fetch: sendOnce });
    };
    const calls = methods.map((method) => [method, (path: string, init?: CallOptions) => call(method, path, init)]);
    return { ...api, ...Object.fromEntries(calls), request: call };
  }

  /**
   * Adds the token of a session as the last step: no middleware sees it, and where one has sent the request elsewhere, or
   * the caller has credentials of their own, it is left out. A request that is refused for its token was not done, and is
   * sent again once with a new token of the same session.
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
      const renewed = await unlessAborted(sessions.renew(session, token), request.signal);
      if (typeof renewed === "function") return renewed();
      return renewed === undefined ? response : send(withToken(request, renewed));
    };
  }

  return {
    ...callsUnder(sessions.current),
    async signIn(username, password, signal = null) {
      // Content-Type lets a page of any origin sign in where CORS_ORIGINS is `*`: forms of other sites cannot send it.
      const headers = {
        Authorization: basicAuthorization(username, password),
        "Content-Type": "application/json",
      };
      const result = await anonymous.POST("/api/sessions", { headers, signal });
      if (result.data) await sessions.begin(result.data);
      return result;
    },
    async signOut(signal = null) {
      const session = sessions.current();
      const result = await callsUnder(() => session).DELETE("/api/token", { signal });
      const { response } = result;
      if (result.error && response.status !== 401) return result;
      await sessions.forget(session);
      return { data: undefined, response } as Result<"revokeToken">;
    },
    async signOutEverywhere(signal = null) {
      const session = sessions.current();
      const result = await callsUnder(() => session).DELETE("/api/sessions", { signal });
      if (!result.error) await sessions.forget(session);
      return result;
    },
    async changePassword(currentPassword, newPassword, signal = null) {
      const session = sessions.current();
      const body = { current_password: currentPassword, new_password: newPassword };
      const result = await callsUnder(() => session).PUT("/api/users/me/password", { body, signal });
      if (!result.error) await sessions.forget(session);
      return result;
    },
  };
}

const methods = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/** What openapi-fetch takes beside the path. Its own types are those of `Client<paths>`. */
type CallOptions = Record<string, unknown> & { fetch?: Fetch };
type AnyCall = (method: string, path: string, init: CallOptions) => Promise<unknown>;

function withToken(request: Request, token: string): Request {
  const copy = request.clone();
  copy.headers.set("Authorization", `Bearer ${token}`);
  return copy;
}

/** An `Authorization` header with a username and a password, for what asks for the password itself. */
export function basicAuthorization(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

const answersOfLatchkey: Middleware = {
  async onResponse({ request, response, options }) {
    if (!response.ok || options.parseAs === "json") await refuseStrangers(request, response);
    return withContractsType(response);
  },
};
