/** Problems as errors of OAuth (RFC 6749, section 5.2). */
import type { components } from "../../generated/openapi.ts";
import type { ProblemSlug } from "./catalogue.ts";
import { Problem, type ProblemBody, type RequestError } from "./problems.ts";

type OAuthError = components["schemas"]["OAuthError"];

/**
 * The codes of RFC 6749 (sections 4.1.2.1 and 5.2), RFC 6750 (section 3.1), RFC 8628 (section 3.5), RFC 8707 and RFC 9449. Others depend on the
 * status.
 */
const codes: Partial<Record<ProblemSlug, string>> = {
  "invalid-scope": "invalid_scope",
  "invalid-target": "invalid_target",
  "invalid-grant": "invalid_grant",
  "invalid-dpop-proof": "invalid_dpop_proof",
  "dpop-proof-refused": "invalid_dpop_proof",
  "unsupported-grant-type": "unsupported_grant_type",
  "unauthorized-client": "unauthorized_client",
  "authorization-pending": "authorization_pending",
  "slow-down": "slow_down",
  "device-code-expired": "expired_token",
  "access-denied": "access_denied",
  "authentication-required": "invalid_client",
  "invalid-credentials": "invalid_client",
  "invalid-client": "invalid_client",
  "invalid-client-metadata": "invalid_client_metadata",
  "invalid-redirect-uri": "invalid_redirect_uri",
  "invalid-token": "invalid_token",
  "token-expired": "invalid_token",
  "token-revoked": "invalid_token",
  "token-reused": "invalid_grant",
  "insufficient-scope": "insufficient_scope",
  "too-many-requests": "temporarily_unavailable",
};

const codeOf = ({ slug, status }: Problem, isForTokens: boolean): string =>
  (isForTokens && slug === "authentication-required" ? "invalid_token" : codes[slug]) ??
  (status === 503 ? "temporarily_unavailable" : status >= 500 ? "server_error" : "invalid_request");

/** As long as the contract allows. */
const maxDescriptionLength = 512;

/**
 * @param body of the same problem
 * @param isForTokens whether the operation accepts only access tokens, and no credentials of a client
 */
export function oauthError(problem: Problem, body: ProblemBody, isForTokens = false): OAuthError {
  const { type, title, detail, errors = [] } = body;
  const faults = errors.map((error) => `${partOf(error)} ${error.detail}`).join("; ");
  const description = `${detail ?? title}${faults && `: ${faults}`}`;
  return {
    error: codeOf(problem, isForTokens),
    error_description: allowedText(description.slice(0, maxDescriptionLength)),
    error_uri: type,
  };
}

/** RFC 6749 allows ASCII without quotation marks and backslashes, which occur in the patterns of the contract. */
const allowedText = (text: string) =>
  text
    .replaceAll('"', "'")
    .replaceAll("\\", "/")
    .replace(/[^ !#-[\]-~]/g, "?");

function partOf(error: RequestError): string {
  if ("parameter" in error) return error.parameter;
  return "header" in error ? error.header : error.pointer.slice(2) || "the body";
}

/**
 * @returns an `invalid-request` about members of a registration as the problem that has a code of RFC 7591, section 3.2.2; other
 * problems as they are
 */
export function registrationProblem(problem: Problem): Problem {
  if (problem.slug !== "invalid-request") return problem;
  const [first, ...others] = problem.body("").errors ?? [];
  if (!first || !("pointer" in first) || first.pointer === "#") return problem;
  const isRedirectUri = /^#\/redirect_uris(?:\/|$)/.test(first.pointer);
  return new Problem(isRedirectUri ? "invalid-redirect-uri" : "invalid-client-metadata", {
    errors: [first, ...others],
    cause: problem.cause,
  });
}
