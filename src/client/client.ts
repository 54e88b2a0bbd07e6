/**
 * The client of a Latchkey: every operation of the contract, typed, and a session that renews itself.
 * Runs in browsers and in Node.
 */
import createClient, { type Client, type Middleware } from "openapi-fetch";
import { bearerOperations } from "../../generated/bearer.ts";
import type { paths } from "../../generated/openapi.ts";
import { problemIn, type Result, refuseStrangers, type Slug, slugOf } from "./problems.ts";
import { type Fetch, isSafe, type RetryBounds, retrying, unlessAborted } from "./retry.ts";
import { createSession, inMemory, type RefreshRefusal, type TokenStorage } from "./session.ts";

export {
  type OperationId,
  type Problem,
  ProblemError,
  type ProblemOf,
  type Result,
  retryAfterSeconds,
  type Slug,
  slugOf,
  UnexpectedAnswerError,
  unwrap,
} from "./problems.ts";
export type { RefreshRefusal, RetryBounds, TokenStorage };

export type LatchkeyOptions = {
  /** Where the service is, such as `https://auth.example.com`. */
  baseUrl: string;
  /** Keeps the refresh token; tabs that share it share the session. In memory alone where there is none. */
  storage?: TokenStorage | undefined;
  /** Called once for each session that is over: with the reason where the service ended it. */
  onSignedOut?: ((refusal?: RefreshRefusal) => void) | undefined;
  /** How long the client tries by itself: 3 times within 10 seconds, unless told otherwise. */
  retry?: Partial<RetryBounds> | undefined;
  /** Instead of the global one. */
  fetch?: Fetch | undefined;
};

/** Each method gives a problem as `error`, and throws where there was no answer, or none of Latchkey. */
export type LatchkeyClient = Client<paths> & {
  /** Begins a session. Calls are sent with its token from now on. */
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
  fetch = (request) => globalThis.fetch(request),
}: LatchkeyOptions): LatchkeyClient {
  const bounds = { tries, withinSeconds };
  const send = retrying(fetch, bounds, isSafe);

  const anonymous = createClient<paths>({ baseUrl, fetch: send });
  anonymous.use(answersOfLatchkey);
  // Whoever asks again with the same refresh token gets the same successor: it may be sent twice.
  const repeating = retrying(fetch, bounds, () => true);
  const session = createSession(anonymous, repeating, storage, `latchkey ${baseUrl}`, onSignedOut);

  const api = createClient<paths>({ baseUrl, fetch: sendAuthorized });
  api.use({ onRequest: authorize }, answersOfLatchkey);

  /** Adds the token where the operation takes one, and the caller has sent nothing else. */
  async function authorize({ request, schemaPath }: Parameters<NonNullable<Middleware["onRequest"]>>[0]) {
    const takesToken = bearerOperations.includes(`${request.method} ${schemaPath}`);
    if (!takesToken || request.headers.has("Authorization")) return undefined;
    const token = await unlessAborted(session.token(), request.signal);
    if (typeof token === "function") return token();
    if (token !== undefined) request.headers.set("Authorization", `Bearer ${token}`);
    return undefined;
  }

  /** Sends again, once, with a new token what was refused for its token: it was not done. */
  async function sendAuthorized(request: Request): Promise<Response> {
    const again = request.clone();
    const token = request.headers.get("Authorization")?.replace(/^Bearer /, "") ?? "";
    const isOurs = session.isCurrent(token);
    const response = await send(request);
    const problem = isOurs && response.status === 401 ? await problemIn(response) : undefined;
    if (!problem || !tokenProblems.includes(slugOf(problem))) return response;
    const renewed = await unlessAborted(session.renew(token), request.signal);
    if (typeof renewed === "function") return renewed();
    if (renewed === undefined) return response;
    again.headers.set("Authorization", `Bearer ${renewed}`);
    return send(again);
  }

  return {
    ...api,
    async signIn(username, password, signal = null) {
      const headers = { Authorization: basicAuthorization(username, password) };
      const result = await anonymous.POST("/api/sessions", { headers, signal });
      if (result.data) await session.keep(result.data);
      return result;
    },
    async signOut(signal = null) {
      const result = await api.DELETE("/api/token", { signal });
      const { response } = result;
      if (result.error && response.status !== 401) return result;
      await session.forget();
      return { data: undefined, response } as Result<"revokeToken">;
    },
    async signOutEverywhere(signal = null) {
      const result = await api.DELETE("/api/sessions", { signal });
      if (!result.error) await session.forget();
      return result;
    },
    async changePassword(currentPassword, newPassword, signal = null) {
      const body = { current_password: currentPassword, new_password: newPassword };
      const result = await api.PUT("/api/users/me/password", { body, signal });
      if (!result.error) await session.forget();
      return result;
    },
  };
}

/** An `Authorization` header with a username and a password, for what asks for the password itself. */
export function basicAuthorization(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

const answersOfLatchkey: Middleware = {
  async onResponse({ request, response, options }) {
    if (!response.ok || options.parseAs === "json") await refuseStrangers(request, response);
  },
};
