/** The problems (RFC 9457) of refused requests: those that Latchkey itself responds with. */

/** Problem details (RFC 9457), as Latchkey responds with. */
export type ProblemDetails = {
  /** A URL that identifies the problem, and that explains it. */
  type: string;
  title: string;
  status: number;
  detail?: string;
  /** The missing scopes, separated by spaces, of a 403 `insufficient-scope`. */
  scope?: string;
  /** The invalid parts of the request, of a 400 `invalid-request`. */
  errors?: readonly { header: string; detail: string }[];
};

/** Why a request was refused, and the response to send. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** 400, 401, 403, or 503 if the credential cannot be verified now. 404 or 405 from a contract guard. */
  readonly status: number;
  readonly problem: ProblemDetails;
  /** The headers of the response: `Content-Type`, `Cache-Control`, and if they apply `WWW-Authenticate`, `Retry-After`, `Allow`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(problem: ProblemDetails, headers: Readonly<Record<string, string>>, options?: ErrorOptions) {
    super(problem.detail ?? problem.title, options);
    this.status = problem.status;
    this.problem = problem;
    this.headers = headers;
  }
}

const catalogue = {
  "invalid-request": { status: 400, title: "The request is not valid" },
  "authentication-required": { status: 401, title: "Credentials are required" },
  "invalid-token": { status: 401, title: "The token is not valid" },
  "token-expired": { status: 401, title: "The token has expired" },
  "token-revoked": { status: 401, title: "The token has been revoked" },
  "insufficient-scope": { status: 403, title: "Insufficient scope" },
  "not-found": { status: 404, title: "Not found" },
  "method-not-allowed": { status: 405, title: "Method not allowed" },
  "revocations-stale": { status: 503, title: "The revocation list is out of date" },
  "verification-unavailable": { status: 503, title: "The credentials cannot be verified at the moment" },
} as const;

export type RefusalSlug = keyof typeof catalogue;

export type RefusalMembers = {
  detail?: string;
  /** The missing scopes, for `insufficient-scope`. */
  missingScopes?: readonly string[];
  /** The methods of the path, for `method-not-allowed`. */
  allow?: readonly string[];
  errors?: readonly { header: string; detail: string }[];
  cause?: unknown;
};

export type CreateRefusal = (slug: RefusalSlug, members?: RefusalMembers) => Refusal;

/** The reason in the challenge (RFC 6750, section 3.1). */
const tokenErrors: Partial<Record<RefusalSlug, string>> = {
  "invalid-token": "The token is not valid",
  "token-expired": "The token has expired",
  "token-revoked": "The token has been revoked",
};

/** Seconds in `Retry-After` of every 503. */
const unavailableSeconds = 2;

/** Bounds the challenge of the response. */
const maxScopeLength = 400;

/**
 * @param baseUrl the address of Latchkey, which has a page for each problem
 * @param metadataUrl of the API's metadata (RFC 9728, section 5.1)
 */
export function refusals(baseUrl: string, metadataUrl?: string): CreateRefusal {
  const suffix = metadataUrl === undefined ? "" : `, resource_metadata="${metadataUrl}"`;
  return (slug, { detail, missingScopes = [], allow, errors, cause } = {}) => {
    const { status, title } = catalogue[slug];
    const scope = asManyAsFit(missingScopes);
    const explanation = detail ?? (scope === "" ? undefined : `The user or the credential does not have: ${scope}.`);
    const problem: ProblemDetails = {
      type: `${baseUrl}/problems/${slug}`,
      title,
      status,
      ...(explanation !== undefined && { detail: explanation }),
      ...(errors && { errors }),
      ...(scope !== "" && { scope }),
    };
    const challenge = challengeOf(slug, scope);
    const headers: Record<string, string> = {
      "Content-Type": "application/problem+json; charset=utf-8",
      "Cache-Control": "no-store",
      ...(challenge !== undefined && { "WWW-Authenticate": challenge + suffix }),
      ...(status === 503 && { "Retry-After": String(unavailableSeconds) }),
      ...(allow && { Allow: allow.join(", ") }),
    };
    return new Refusal(problem, headers, { cause });
  };
}

function challengeOf(slug: RefusalSlug, scope: string): string | undefined {
  const { status } = catalogue[slug];
  if (status === 403) return `Bearer realm="latchkey", error="insufficient_scope", scope="${scope}"`;
  if (status !== 401) return undefined;
  const description = tokenErrors[slug];
  return `Bearer realm="latchkey"${description ? `, error="invalid_token", error_description="${description}"` : ""}`;
}

/** @returns as many of the scopes as fit, and at least one */
function asManyAsFit([first = "", ...rest]: readonly string[]): string {
  let scope = first;
  for (const name of rest) {
    if (scope.length + 1 + name.length > maxScopeLength) break;
    scope += ` ${name}`;
  }
  return scope;
}
