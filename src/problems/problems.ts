/**
 * Everything that can go wrong, as the contract lists it (RFC 9457). The contract's enum and this
 * catalogue cannot differ: either side alone does not compile.
 */
import type { components } from "../../generated/openapi.ts";

type ProblemBody = components["schemas"]["Problem"];
export type ProblemSlug = ProblemBody["type"] extends infer Type
  ? Type extends `/problems/${infer Slug}`
    ? Slug
    : never
  : never;
export type RequestError = components["schemas"]["RequestError"];
export type PasswordRefusal = components["schemas"]["PasswordRefusal"];

type Entry = {
  status: number;
  title: string;
  /** For the page of the problem: what it means, and what to do. */
  meaning: string;
  remedy: string;
};

export const problems = {
  "invalid-request": {
    status: 400,
    title: "The request is not valid",
    meaning: "The request is not well-formed, or not what the contract asks for. Nothing was done.",
    remedy:
      "Look at errors: each names a place of the request and what is wrong with it. The same request will fail again.",
  },
  "authentication-required": {
    status: 401,
    title: "Credentials are required",
    meaning: "The operation needs credentials, and none of a kind that it accepts was sent.",
    remedy:
      "Send one of the kinds that the operation lists: username and password with Basic, or a token with Bearer. (WWW-Authenticate does not name Basic to scripts in a browser, since that would open its login dialog.)",
  },
  "invalid-credentials": {
    status: 401,
    title: "The username or the password is not right",
    meaning: "There is no user with that name and that password. Which of the two is wrong is not said.",
    remedy: "Ask the person again. Where the operation asks for the password itself, a token does not help.",
  },
  "invalid-token": {
    status: 401,
    title: "The token is not valid",
    meaning:
      "What was sent is not a token of this service: it is altered, forged, of another service, or signed with a key that is no longer used.",
    remedy: "Take a new token with the username and the password.",
  },
  "token-expired": {
    status: 401,
    title: "The token has expired",
    meaning: "The token was issued by this service, and its time is over.",
    remedy: "Take a new token with the username and the password.",
  },
  "token-revoked": {
    status: 401,
    title: "The token has been revoked",
    meaning:
      "The token was ended before its time: by itself, with its session, or because its user changed the password, signed out everywhere or was deleted, or because the key that signed it was revoked.",
    remedy: "Take a new token with the username and the present password.",
  },
  "token-reused": {
    status: 401,
    title: "The refresh token was used before",
    meaning:
      "A refresh token works once. This one was used before, from another network or longer ago than a lost answer explains: somebody has a copy of it. The session has ended, with all its tokens.",
    remedy: "Sign in again, and find out how the token could be copied.",
  },
  "cross-site-request": {
    status: 403,
    title: "The request comes from a page of another origin",
    meaning:
      "A page that does not belong to this service asked a browser to change something here, perhaps with credentials that the browser had kept. The credentials were not checked, and nothing was done.",
    remedy:
      "Add the origin of the page to CORS_ORIGINS if it may change something here. Where it is the service's own page behind a proxy, set PUBLIC_URL, and let the proxy pass the Host header on.",
  },
  "not-found": {
    status: 404,
    title: "There is nothing here",
    meaning:
      "The path is not in the contract, or there is no such thing for these credentials. Whether it exists for others is not said.",
    remedy: "Compare the path with the contract, openapi.yaml.",
  },
  "method-not-allowed": {
    status: 405,
    title: "The method is not allowed here",
    meaning: "The path exists, but not with this method.",
    remedy: "Use one of the methods in the Allow header.",
  },
  "not-acceptable": {
    status: 406,
    title: "The answer cannot be given in that form",
    meaning: "The Accept header rules out every form that the operation can answer in.",
    remedy: "Add the form that detail names to Accept, or leave Accept out.",
  },
  "request-timeout": {
    status: 408,
    title: "The request did not arrive in time",
    meaning: "The headers or the body of the request took too long to arrive. Nothing was done.",
    remedy: "Send the request again on a new connection, at once and as a whole.",
  },
  "username-taken": {
    status: 409,
    title: "The username is taken",
    meaning:
      "Somebody registered that name before, perhaps in other letter case: names are compared without regard to case and normal form.",
    remedy: "Choose another name.",
  },
  "payload-too-large": {
    status: 413,
    title: "The body is too large",
    meaning: "The body has more bytes than any operation needs. It was not read.",
    remedy: "Send less.",
  },
  "unsupported-media-type": {
    status: 415,
    title: "The body has a type that is not understood",
    meaning: "The body is not JSON in UTF-8, or it is compressed.",
    remedy: "Send Content-Type: application/json and the body as it is.",
  },
  "password-refused": {
    status: 422,
    title: "The password is refused",
    meaning:
      "The password is too short, too long, one of the most used ones, easy to guess, or contains the username. The member reason says which.",
    remedy: "Choose another password. Three or four unrelated words are good.",
  },
  "too-many-requests": {
    status: 429,
    title: "Too many tries",
    meaning:
      "There were too many wrong passwords for this account or from this network, or too many registrations from it. The password was not checked, so even the right one is rejected. Whether there is such a user is not said.",
    remedy:
      "Wait for the seconds in Retry-After: up to 15 minutes, or up to 30 days where RateLimit-Policy names the limit consecutive. In that case sign in from a network that you have signed in from before, or ask the operator to unlock the account. Each limit is a setting of the service. A client that sends many requests should take a token once and send that.",
  },
  "internal-error": {
    status: 500,
    title: "The service made a mistake",
    meaning: "Something happened that the service was not made for. The log knows it by the id in instance.",
    remedy: "Tell the operator the id. Whether the request took effect is not known.",
  },
  overloaded: {
    status: 503,
    title: "Too much to do just now",
    meaning: "More passwords are waiting to be checked than can be checked in good time. Nothing was done.",
    remedy: "Try again after the seconds in Retry-After.",
  },
  "database-unavailable": {
    status: 503,
    title: "The database does not answer",
    meaning: "The service cannot reach its database. A change that was asked for may or may not have been made.",
    remedy: "Try again after the seconds in Retry-After.",
  },
  "revocations-stale": {
    status: 503,
    title: "Whether the token was revoked is not known",
    meaning:
      "The service could not look for revoked tokens for longer than its bound, and rather accepts no token than a revoked one.",
    remedy: "Try again after the seconds in Retry-After.",
  },
  "schema-mismatch": {
    status: 503,
    title: "The database is not prepared for this version",
    meaning: "The database lacks a migration that this version of the service needs.",
    remedy: "Run latchkey migrate, or start the service, which migrates by itself.",
  },
  "shutting-down": {
    status: 503,
    title: "This instance is about to stop",
    meaning: "The instance was asked to stop. It still serves, for a moment, what is sent to it.",
    remedy: "Send requests to another instance, or wait for this one to be started again.",
  },
} as const satisfies Record<ProblemSlug, Entry>;

/** Seconds that every 503 asks to wait: long enough for a restarted database, short for a person. */
export const retryAfterSeconds = 2;

type ProblemMembers = {
  /** For the client. Never given at 500 and above. */
  detail?: string;
  errors?: [RequestError, ...RequestError[]];
  reason?: PasswordRefusal;
  headers?: Record<string, string | string[]>;
  /** For the log alone. */
  cause?: unknown;
};

/** A failure that the contract knows. Thrown anywhere, written by the error middleware alone. */
export class Problem extends Error {
  readonly slug: ProblemSlug;
  readonly status: number;
  readonly headers: Record<string, string | string[]>;
  readonly #members: ProblemMembers;

  constructor(slug: ProblemSlug, members: ProblemMembers = {}) {
    super(slug, { cause: members.cause });
    this.name = "Problem";
    this.slug = slug;
    this.status = problems[slug].status;
    this.headers = {
      ...(this.status === 503 && { "Retry-After": String(retryAfterSeconds) }),
      ...members.headers,
    };
    this.#members = members;
  }

  /**
   * What the client may know.
   * @param base the path of `PUBLIC_URL`: `type` is a relative reference (RFC 9457, section 3.1.1), and a link for browsers
   */
  body(requestId: string, base = ""): ProblemBody {
    const { detail, errors, reason } = this.#members;
    return {
      type: `${base}/problems/${this.slug}` as ProblemBody["type"],
      title: problems[this.slug].title,
      status: this.status,
      ...(detail !== undefined && this.status < 500 && { detail }),
      instance: `urn:uuid:${requestId}`,
      ...(errors && { errors }),
      ...(reason && { reason }),
    };
  }
}

/** A 400 about one place of the request. */
export const invalidRequest = (error: RequestError): Problem => new Problem("invalid-request", { errors: [error] });
