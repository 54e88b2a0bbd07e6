import type { components } from "../../../generated/openapi.ts";
import { openIdScopes } from "../../access/scopes.ts";
import { seeOther } from "../../http/redirect.ts";
import type { Handler, NavigationHandler } from "../../openapi/binding.ts";
import type { PasswordPrincipal, TokenPrincipal } from "../../principal.ts";
import { invalidRequest, Problem } from "../../problems/problems.ts";
import type { BrowserSessions } from "../../sessions/browser/browserSessions.ts";
import { browserCookie, browserSecret } from "../../sessions/browser/cookies.ts";
import type { BrowserSession } from "../../sessions/browser/storeTypes.ts";
import { isDelegated } from "../../tokens/claims.ts";
import type { Authorizations, Question } from "./authorizations.ts";
import { asQuery, maxQueryLength } from "./parameters.ts";
import { addToQuery, formTarget } from "./redirectUri.ts";
import type { AuthorizationRequest } from "./request.ts";
import { authorizationSeconds } from "./sealed.ts";
import type { SignedInUser } from "./storeTypes.ts";

type Parts = {
  authorizations: Authorizations;
  browserSessions: Pick<BrowserSessions, "find">;
  /** The page of a team; `undefined`: the pages of this service. */
  authorizationPageUrl: string | undefined;
  /** The prefix of the `Location` header; empty for a path on this host. */
  publicUrl: string | undefined;
};

export const authorize = ({
  authorizations,
  browserSessions,
  authorizationPageUrl,
  publicUrl = "",
}: Parts): NavigationHandler<"authorize"> => ({
  async navigate(query, cookies) {
    if (authorizationPageUrl !== undefined) {
      const begun = await authorizations.begin(query, "api");
      return begun.kind === "redirect"
        ? seeOther(begun.uri)
        : seeOther(addToQuery(authorizationPageUrl, { authorization_id: begun.authorization }));
    }
    const cookie = browserSecret(cookies);
    const begun = await authorizations.begin(query, { cookie });
    if (begun.kind === "redirect") return seeOther(begun.uri);
    const session = await browserSessions.find(cookies);
    const next = await authorizations.proceed(begun.request, session && signedInUser(session));
    if (next.kind === "redirect") return seeOther(next.uri);
    const { authorization } = begun;
    return seeOther(addToQuery(`${publicUrl}/oauth/${next.kind}`, { authorization }), browserCookie(cookie));
  },
});

/** The browser continues with a GET, which has the cookies that it does not send with a form of another site. */
export const submitAuthorizationRequest = (
  publicUrl: string | undefined = "",
): NavigationHandler<"submitAuthorizationRequest"> => ({
  navigate(text) {
    const query = asQuery(text);
    if (query === undefined) throw invalidRequest({ pointer: "#", detail: "is not percent-encoded UTF-8" });
    if (query.length > maxQueryLength) throw new Problem("payload-too-large");
    return seeOther(`${publicUrl}/oauth/authorize?${query}`);
  },
});

type ApiParts = { authorizations: Authorizations; clock: () => Date };

export const getAuthorization =
  (parts: ApiParts): Handler<"getAuthorization"> =>
  async ({ principal, path }) => {
    const request = await openForApi(parts.authorizations, path.id);
    const question = await namingId(parts.authorizations.ask(request, await decidingUser(parts, principal)));
    if (!question) throw new Problem("not-found");
    return { status: 200, body: represent(request, question) };
  };

export const decideAuthorization =
  (parts: ApiParts): Handler<"decideAuthorization"> =>
  async ({ principal, path, body }) => {
    const request = await openForApi(parts.authorizations, path.id);
    const user = await decidingUser(parts, principal);
    const redirectUri = await namingId(parts.authorizations.decide(request, user, body.decision));
    return { status: 200, body: { redirect_uri: redirectUri } };
  };

/** @throws {Problem} `not-found` */
async function openForApi(authorizations: Authorizations, id: string): Promise<AuthorizationRequest> {
  return await authorizations.open(id, "api").catch((error: unknown) => {
    throw error instanceof Problem && error.status === 400 ? new Problem("not-found") : error;
  });
}

/** Names the `id` of the path in errors, which the pages call `authorization`. */
async function namingId<Result>(result: Promise<Result>): Promise<Result> {
  return await result.catch((error: unknown) => {
    const [fault] = error instanceof Problem ? (error.body("").errors ?? []) : [];
    if (!fault || !("parameter" in fault) || fault.parameter !== "authorization") throw error;
    throw invalidRequest({ parameter: "id", detail: fault.detail });
  });
}

/** The user of a browser's session, who may decide about authorizations. */
export const signedInUser = ({ id, userId, epoch, authenticatedAt }: BrowserSession): SignedInUser => ({
  userId,
  epoch,
  authenticatedAt,
  decidingSessionId: id,
});

/**
 * The user of an API request. A client that acts for the user must not allow itself or another client more.
 * @throws {Problem} `login-required` for a token of a client; `token-revoked`
 */
async function decidingUser(
  { authorizations, clock }: ApiParts,
  principal: PasswordPrincipal | TokenPrincipal,
): Promise<SignedInUser> {
  const { userId, epoch } = principal;
  if (principal.proof === "password") return { userId, epoch, authenticatedAt: clock(), decidingSessionId: undefined };
  if (isDelegated(principal)) throw new Problem("login-required");
  const { sessionId, issuedAt } = principal;
  // A refreshed token is newer than the sign-in.
  const authenticatedAt = sessionId === undefined ? issuedAt : await authorizations.authenticationTime(sessionId);
  if (!authenticatedAt) throw new Problem("token-revoked");
  const limits = principal.scopes && new Set([...principal.scopes, ...openIdScopes]);
  return { userId, epoch, authenticatedAt, decidingSessionId: sessionId, limits };
}

const represent = (
  { redirectUri, loginHint, beganAtMs }: AuthorizationRequest,
  { client, access, scopes, needsConsent }: Question,
): components["schemas"]["Authorization"] => ({
  client: {
    client_id: client.id,
    name: client.name,
    logo_uri: client.logoUri,
    client_uri: client.clientUri,
    policy_uri: client.policyUri,
    tos_uri: client.tosUri,
  },
  audience: access.audience,
  scopes: scopes.map((scope) => ({ ...scope })),
  redirect_target: formTarget(redirectUri),
  login_hint: loginHint ?? null,
  consent_required: needsConsent,
  expires_at: new Date(beganAtMs + authorizationSeconds * 1000).toISOString(),
});
