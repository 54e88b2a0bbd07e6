/** Every problem (RFC 9457) and its page. The code does not compile if the catalogue and the enum in the contract differ. */
import type { components } from "../../generated/openapi.ts";
import { oauthProblems } from "./oauthProblems.ts";

export type ProblemSlug = components["schemas"]["Problem"]["type"] extends infer Type
  ? Type extends `/problems/${infer Slug}`
    ? Slug
    : never
  : never;

export type ProblemEntry = {
  status: number;
  title: string;
  /** What the problem means and what to do about it, on its page. */
  meaning: string;
  remedy: string;
};

export const problems = {
  ...oauthProblems,
  "invalid-request": {
    status: 400,
    title: "The request is not valid",
    meaning: "The request is malformed, or it does not match the contract. The service did nothing.",
    remedy:
      "Correct what errors lists: each entry names a part of the request and says what is wrong. Repeating the same request fails again.",
  },
  "authentication-required": {
    status: 401,
    title: "Credentials are required",
    meaning: "The operation needs credentials, and the request has none of a kind that the operation accepts.",
    remedy:
      "Send credentials that the operation accepts: username and password with Basic, or a token with Bearer. (For a script in a browser, WWW-Authenticate does not list Basic, because the browser would open its login dialog.)",
  },
  "invalid-credentials": {
    status: 401,
    title: "The username or password is wrong",
    meaning: "The username does not exist, or the password is wrong. The response does not say which.",
    remedy: "Ask the user for the password again. If the operation requires the password, a token is not accepted.",
  },
  "invalid-token": {
    status: 401,
    title: "The token is not valid",
    meaning:
      "The credential is not a valid token of this service: it is malformed, forged, issued by another service, or signed with a key that is no longer in use.",
    remedy: "Get a new token with the username and password.",
  },
  "token-expired": {
    status: 401,
    title: "The token has expired",
    meaning: "The token was issued by this service and has expired.",
    remedy: "Refresh the session, or sign in again with the username and password.",
  },
  "token-revoked": {
    status: 401,
    title: "The token has been revoked",
    meaning:
      "The token or its session was revoked, the user changed the password, signed out everywhere or was deleted, or the key that signed the token was revoked.",
    remedy: "Get a new token with the username and the current password.",
  },
  "token-reused": {
    status: 401,
    title: "The refresh token was already used",
    meaning:
      "A refresh token works once. This one was used again too late for a retry, or from another network, so someone else may have a copy. The session and all its tokens have been revoked.",
    remedy: "Sign in again. Find out how the token could have been copied.",
  },
  "cross-site-request": {
    status: 403,
    title: "Cross-site request rejected",
    meaning:
      "A web page of another origin sent this request through a browser. The service did not check the credentials and changed nothing.",
    remedy:
      "If the page may use the API, add its origin to CORS_ORIGINS. If it is a page of this service behind a proxy, set PUBLIC_URL and make the proxy forward the Host header.",
  },
  "insufficient-scope": {
    status: 403,
    title: "Insufficient scope",
    meaning:
      "The credentials are valid, but the operation requires a scope that the user does not have, or that the token or API key is not allowed to use. scope names it.",
    remedy:
      "If the user has the scope, use a credential with it. Otherwise ask an administrator for a role that contains it.",
  },
  "login-required": {
    status: 403,
    title: "The user has to sign in again",
    meaning:
      "A client requires that the user signs in again: with prompt=login, or with max_age if the last sign-in is older. Or it requires another user, with id_token_hint.",
    remedy: "Ask the user for the password, and repeat the request with it, or with a token that was issued for it.",
  },
  "undeclared-operation": {
    status: 403,
    title: "The operation is not declared",
    meaning:
      "A proxy asked whether a request may pass to an API. The contract of the API does not declare this method and path, the path can be read in more than one way, or a header asks the API to perform another operation.",
    remedy:
      "Compare the request with the contract of the API. If the API has the operation, add it to the contract, and update the registered API.",
  },
  "not-found": {
    status: 404,
    title: "Not found",
    meaning:
      "The path is not in the contract, or these credentials give no access to such an object. The response does not say whether it exists.",
    remedy: "Compare the path with the contract, openapi.yaml.",
  },
  "method-not-allowed": {
    status: 405,
    title: "Method not allowed",
    meaning: "The path exists, but it does not support this method.",
    remedy: "Use a method that the Allow header lists.",
  },
  "not-acceptable": {
    status: 406,
    title: "No acceptable media type",
    meaning: "The Accept header excludes every media type that the operation can return.",
    remedy: "Add the media type that detail names to Accept, or omit Accept.",
  },
  "request-timeout": {
    status: 408,
    title: "Request timeout",
    meaning: "The headers or the body of the request did not arrive in time. The service did nothing.",
    remedy: "Send the complete request again on a new connection.",
  },
  "username-taken": {
    status: 409,
    title: "The username is taken",
    meaning: "Another user has this username. Usernames are compared without regard to case and Unicode normalization.",
    remedy: "Choose another username.",
  },
  "too-many-api-keys": {
    status: 409,
    title: "Too many API keys",
    meaning: "The user has as many API keys as the service allows. Expired keys count until they are deleted.",
    remedy: "Delete a key that is no longer used: GET /api/api-keys shows when each was last used.",
  },
  "too-many-client-secrets": {
    status: 409,
    title: "The client cannot have another secret",
    meaning: "The client has two secrets already, or it is registered to authenticate without a secret.",
    remedy: "Delete the secret that is no longer used: GET /api/clients/{client_id} shows when each was last used.",
  },
  "last-administrator": {
    status: 409,
    title: "The last administrator",
    meaning:
      "The user is the last one with the role administrator who is not blocked. The service did not block or delete the user, and did not take away the role, because nobody could administer it any more.",
    remedy: "Give the role administrator to another user first.",
  },
  "audience-taken": {
    status: 409,
    title: "The audience is taken",
    meaning: "Another API has this audience, or it is an audience of this service itself.",
    remedy: "Choose another audience, or change the registered API.",
  },
  "built-in-role": {
    status: 409,
    title: "The role is built in",
    meaning: "administrator cannot be changed, and neither administrator nor default can be deleted.",
    remedy: "Define a role of your own, or remove the scopes of default.",
  },
  "cursor-expired": {
    status: 410,
    title: "The cursor has expired",
    meaning:
      "The cursor of the revocation list is more than four minutes old, or the service has changed to another database server. Entries after the cursor may be missing.",
    remedy:
      "Forget every credential that was verified before, and follow the list again: repeat the request without after.",
  },
  "precondition-failed": {
    status: 412,
    title: "Precondition failed",
    meaning: "The object has changed since the request with the ETag that If-Match names. The service changed nothing.",
    remedy: "Get the object again, decide again, and send its new ETag.",
  },
  "payload-too-large": {
    status: 413,
    title: "The request body is too large",
    meaning: "The body exceeds the limit. The service did not read it.",
    remedy: "Send a smaller body.",
  },
  "unsupported-media-type": {
    status: 415,
    title: "Unsupported media type",
    meaning: "The body does not have the media type that the operation declares, is not UTF-8, or is compressed.",
    remedy:
      "Send Content-Type: application/json and an uncompressed body. The operations below /oauth/ take application/x-www-form-urlencoded.",
  },
  "password-refused": {
    status: 422,
    title: "The password is not accepted",
    meaning:
      "The new password is too short, too long, common, easy to guess, or contains the username. The member reason says which.",
    remedy: "Choose another password, for example three or four unrelated words.",
  },
  "too-many-requests": {
    status: 429,
    title: "Too many attempts",
    meaning:
      "There were too many wrong passwords for this account or from this network, or too many registrations from this network. The service did not check the password: even the right one is rejected. The response does not say whether the user exists.",
    remedy:
      "Wait for the number of seconds in Retry-After: up to 15 minutes, or up to 30 days if RateLimit-Policy names the limit consecutive. In that case, sign in from a network from which you signed in before, or ask the operator to unlock the account. The limits are settings of the service. A client that sends many requests should get a token once and send the token.",
  },
  "internal-error": {
    status: 500,
    title: "Internal server error",
    meaning: "The service failed in an unexpected way. The log has the error under the id in instance.",
    remedy: "Report the id to the operator. The request may or may not have taken effect.",
  },
  overloaded: {
    status: 503,
    title: "The service is overloaded",
    meaning: "More passwords are waiting to be hashed than the service can hash in time. The service did nothing.",
    remedy: "Retry after the number of seconds in Retry-After.",
  },
  "database-unavailable": {
    status: 503,
    title: "The database is unavailable",
    meaning:
      "The service cannot reach its database, or the database did not respond in time. A change may or may not have been made.",
    remedy: "Retry after the number of seconds in Retry-After.",
  },
  "revocations-stale": {
    status: 503,
    title: "The revocation list is out of date",
    meaning:
      "The service could not read the revocation list for too long. It cannot tell whether the token was revoked, so it rejects every token.",
    remedy: "Retry after the number of seconds in Retry-After.",
  },
  "verification-unavailable": {
    status: 503,
    title: "The credentials cannot be verified at the moment",
    meaning:
      "Another service that verifies Latchkey's credentials cannot reach Latchkey, which it needs to verify these: they are an API key that it has not seen, or a token with a signing key that it does not know.",
    remedy: "Retry after the number of seconds in Retry-After.",
  },
  "contract-unusable": {
    status: 503,
    title: "The contract of the API cannot be enforced",
    meaning:
      "A proxy asked whether a request may pass to an API. This version of the service cannot enforce the contract that is stored for the API, so it lets no request pass. The log says why.",
    remedy: "Register a contract that can be enforced: latchkey apis update, or PATCH /api/apis.",
  },
  "schema-mismatch": {
    status: 503,
    title: "The database schema is out of date",
    meaning: "The database lacks a migration that this version of the service needs.",
    remedy: "Run latchkey migrate, or restart the service, which applies migrations at startup.",
  },
  "shutting-down": {
    status: 503,
    title: "The instance is shutting down",
    meaning: "The instance received a signal to stop. It still serves requests for a short time.",
    remedy: "Send requests to another instance, or wait until this one is running again.",
  },
} as const satisfies Record<ProblemSlug, ProblemEntry>;
