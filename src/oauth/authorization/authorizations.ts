/** Authorization: a user lets a client act for them (OAuth 2.1, section 4.1; OpenID Connect Core, section 3.1.2). */
import { randomUUID } from "node:crypto";
import { v7 as uuidv7 } from "uuid";
import { type Access, heldScopes } from "../../access/rights.ts";
import { insufficientScope } from "../../access/scopes.ts";
import type { Audit } from "../../audit/audit.ts";
import type { Clients } from "../../clients/clients.ts";
import type { Client } from "../../clients/storeTypes.ts";
import { grantId, type SessionId } from "../../identifiers.ts";
import { oauthError } from "../../problems/oauthErrors.ts";
import { invalidRequest, Problem } from "../../problems/problems.ts";
import { digestOfCode, newCode } from "../codes/codes.ts";
import type { ReadIdTokenHint } from "../idTokenHints.ts";
import type { FindRequestedAccess, RequestedAccess } from "../requestedAccess.ts";
import type { DescribeAccess, DescribedScope } from "./describedScopes.ts";
import { addToQuery, isInterceptable, isRegistered, isTrusted } from "./redirectUri.ts";
import { type AuthorizationRequest, type RequestFault, type ReturnAddress, readRequest } from "./request.ts";
import { authorizationSeconds, type Holder, type SealedRequests } from "./sealed.ts";
import type { AuthorizationStore, Decision, SeenAuthorization, SignedInUser } from "./storeTypes.ts";

/** `uri`: of the client, with the code or the error in its query. */
export type Redirect = { kind: "redirect"; uri: string };

export type Begun =
  /** The user has to sign in or to decide. `authorization`: the sealed request. */
  Redirect | { kind: "interaction"; authorization: string; request: AuthorizationRequest };

/** What a client asks a user for. */
type Asked = {
  client: Client;
  /** The requested access, limited to the scopes that the user has. */
  access: RequestedAccess;
  /** Whether the user has to be asked. */
  needsConsent: boolean;
};

/** The same, with what the user is shown. */
export type Question = Asked & {
  scopes: readonly DescribedScope[];
  /** The name of the API; `undefined` for this service. */
  apiName: string | undefined;
};

export type Next = Redirect | { kind: "sign-in" } | { kind: "consent"; question: Question };

export type Authorizations = {
  /**
   * Begins an authorization. Errors are thrown as problems until the client and its redirect URI are validated.
   * @param text the query of the request, or its form
   * @throws {Problem} `invalid-request`, `revocations-stale`, `database-unavailable`
   */
  begin(text: string, holder: Holder): Promise<Begun>;
  /** Seals a request for another cookie of the same browser. @throws {Problem} `invalid-request` if it is too long */
  seal(request: AuthorizationRequest, holder: Holder): Promise<string>;
  /** @throws {Problem} `invalid-request` if it is not a sealed request of this holder, or has expired */
  open(text: string, holder: Holder): Promise<AuthorizationRequest>;
  /**
   * Decides what comes next in a browser. If the user need not be asked, the client gets a code.
   * @param user `undefined` if nobody is signed in
   * @throws {Problem} `invalid-request` if the client has changed or the request was decided
   */
  proceed(request: AuthorizationRequest, user: SignedInUser | undefined): Promise<Next>;
  /** @returns when the user of a session authenticated; `undefined` if there is no such session */
  authenticationTime(id: SessionId): Promise<Date | undefined>;
  /**
   * Shows the request to a user at the page of a team. The first one who sees it is the only one who may decide.
   * @returns `undefined` for any other user
   * @throws {Problem} `login-required`; as `proceed`
   */
  ask(request: AuthorizationRequest, user: SignedInUser): Promise<Question | undefined>;
  /**
   * Decides about what the user has seen. The same decision may be repeated until the client has used the code.
   * @returns where the browser goes next
   * @throws {Problem} `invalid-request` if the request was decided, seen by another user or not at all, or if the client has changed;
   * `login-required`; `insufficient-scope` if the user's credential may not allow it
   */
  decide(request: AuthorizationRequest, user: SignedInUser, decision: Decision): Promise<string>;
};

type Parts = {
  clients: Pick<Clients, "find">;
  readIdTokenHint: ReadIdTokenHint;
  findRequestedAccess: FindRequestedAccess;
  describeAccess: DescribeAccess;
  access: Pick<Access, "rightsOf">;
  sealed: SealedRequests;
  store: AuthorizationStore;
  audit: Audit;
  issuer: string;
  clock: () => Date;
};

export function createAuthorizations(parts: Parts): Authorizations {
  const { clients, readIdTokenHint, findRequestedAccess, describeAccess, access, sealed, store, issuer, clock, audit } =
    parts;

  const redirect = ({ redirectUri, state }: ReturnAddress, result: Record<string, string>): Redirect => ({
    kind: "redirect",
    // RFC 9207: `iss` tells the client which server responds, so another server cannot pass this code off as its own.
    uri: addToQuery(redirectUri, { ...result, state, iss: issuer }),
  });
  const redirectFault = (to: ReturnAddress, { error, description }: RequestFault): Redirect =>
    redirect(to, { error, error_description: description });
  /** For errors before the user has decided. @throws {Problem} `invalid-request`, which is a page, if the client is not trusted */
  function refuse(client: Client, to: ReturnAddress, fault: RequestFault): Redirect {
    if (isTrusted(client, to.redirectUri)) return redirectFault(to, fault);
    // The description may contain a text of the link, which must not look like a message of the service.
    throw new Problem("invalid-request", { detail: `The error is ${fault.error}.` });
  }

  async function begin(text: string, holder: Holder): Promise<Begun> {
    const read = await readRequest(text, { findClient: clients.find, readIdTokenHint });
    if (read.kind === "untrusted") throw invalidRequest({ parameter: read.parameter, detail: read.detail });
    if (read.kind === "fault") return refuse(read.client, read, read.fault);
    const request = { ...read.request, id: randomUUID(), beganAtMs: clock().getTime(), code: newCode() };
    const asked = await accessOf(read.client, request);
    if ("error" in asked) return refuse(read.client, request, asked);
    // The page of a team has sessions of its own, which this service does not know.
    if (holder === "api" && request.prompts.includes("none")) return refuse(read.client, request, loginRequired);
    const authorization = await sealed.seal(request, holder);
    return authorization === undefined
      ? refuse(read.client, request, { error: "invalid_request", description: "The request is too long." })
      : { kind: "interaction", authorization, request };
  }

  /** @returns what the client may ask for, or why it may not */
  async function accessOf(client: Client, request: AuthorizationRequest): Promise<RequestedAccess | RequestFault> {
    try {
      return await findRequestedAccess(client, { scope: request.scope, resource: request.resource });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 400) throw error;
      const { error: code, error_description: description } = oauthError(error, error.body(""));
      return { error: code, description: description ?? "" };
    }
  }

  /** The client may have changed since the request began, and its redirect URI may no longer be registered. */
  async function currentClient({ clientId, redirectUri }: AuthorizationRequest): Promise<Client> {
    const client = await clients.find(clientId);
    const isAllowed = client?.grantTypes.includes("authorization_code");
    if (!client || !isAllowed || !isRegistered(redirectUri, client.redirectUris)) throw clientChanged();
    return client;
  }

  /** @returns what the user is asked for, or why not */
  async function askedOf(request: AuthorizationRequest, user: SignedInUser): Promise<Asked | RequestFault> {
    const client = await currentClient(request);
    const requested = await accessOf(client, request);
    if ("error" in requested) return requested;
    const { audience } = requested;
    const scopes = heldScopes(await access.rightsOf(user.userId), requested.scopes);
    const needsConsent = await mustAsk(client, request, { user, audience, scopes });
    return { client, access: { audience, scopes }, needsConsent };
  }

  const questionOf = async (asked: Asked): Promise<Question> => ({ ...asked, ...(await describeAccess(asked.access)) });

  /** Users are asked once, and again if another program may be the one that asks (RFC 8252, section 8.6). */
  async function mustAsk(
    client: Client,
    { prompts, redirectUri }: AuthorizationRequest,
    { user, audience, scopes }: RequestedAccess & { user: SignedInUser },
  ): Promise<boolean> {
    const isCertain = client.authentication !== "none" || !isInterceptable(redirectUri);
    if (prompts.includes("consent") || !isCertain) return true;
    if (client.isFirstParty) return false;
    const granted = await store.findGrantedScopes(user.userId, client.id, audience);
    return granted === undefined || !scopes.every((scope) => granted.includes(scope));
  }

  async function proceed(request: AuthorizationRequest, user: SignedInUser | undefined): Promise<Next> {
    const isSilent = request.prompts.includes("none");
    if (!user || mustSignInAgain(request, user)) {
      // The question is not asked, but the client may have changed.
      const client = await currentClient(request);
      return isSilent ? refuse(client, request, loginRequired) : { kind: "sign-in" };
    }
    const asked = await askedOf(request, user);
    if ("error" in asked) return redirectFault(request, asked);
    if (!asked.needsConsent) return allowUnseen(request, user, asked);
    if (isSilent) return refuse(asked.client, request, consentRequired);
    // Another user may continue in the same browser. The form of the first user is rejected from then on.
    if (!(await store.see(seenBy(request, user, asked), true))) throw decided();
    return { kind: "consent", question: await questionOf(asked) };
  }

  async function ask(request: AuthorizationRequest, user: SignedInUser): Promise<Question | undefined> {
    if (mustSignInAgain(request, user)) throw new Problem("login-required");
    const asked = await askedOf(request, user);
    // The scopes or the API have changed since the request began.
    if ("error" in asked) throw clientChanged();
    return (await store.see(seenBy(request, user, asked), false)) ? questionOf(asked) : undefined;
  }

  async function allowUnseen(request: AuthorizationRequest, user: SignedInUser, asked: Asked): Promise<Redirect> {
    const reason = asked.client.isFirstParty ? "first-party" : "granted-before";
    const unseen = { ...seenBy(request, user, asked), reason } as const;
    const access = await store.allowUnseen(unseen, user, codeOf(request));
    if (access) audit("authorization-allowed", { ...auditDetails(request, user, access), reason });
    else await requireRepeated(request, user, "allow");
    return redirect(request, { code: request.code });
  }

  async function decide(request: AuthorizationRequest, user: SignedInUser, decision: Decision): Promise<string> {
    const { id, code } = request;
    if (mustSignInAgain(request, user)) throw new Problem("login-required");
    if (decision === "allow" && user.limits) await requireWithin(user.limits, request, user);
    const access = decision === "allow" ? await store.allow(id, user, codeOf(request)) : await store.deny(id, user);
    if (access) audit(decisionEvents[decision], auditDetails(request, user, access));
    else await requireRepeated(request, user, decision);
    return decision === "allow" ? redirect(request, { code }).uri : redirectFault(request, accessDenied).uri;
  }

  /**
   * Rejects the request early, to name the missing scopes. The statement that allows the request makes the decisive check.
   * @throws {Problem} `insufficient-scope`
   */
  async function requireWithin(limits: ReadonlySet<string>, request: AuthorizationRequest, user: SignedInUser) {
    const asked = await askedOf(request, user);
    const missing = "error" in asked ? [] : asked.access.scopes.filter((scope) => !limits.has(scope));
    if (missing.length === 0) return;
    const problem = insufficientScope(missing);
    audit("scope-refused", { userId: user.userId, scope: problem.scope });
    throw problem;
  }

  /** A form that is sent twice has the same response: a browser shows only the last one. @throws {Problem} `invalid-request` */
  async function requireRepeated({ id, code }: AuthorizationRequest, { userId }: SignedInUser, decision: Decision) {
    if (!(await store.hasDecided({ id, userId, decision, digest: digestOfCode(code) }))) throw decided();
  }

  return {
    begin,
    proceed,
    ask,
    decide,
    authenticationTime: store.findAuthenticationTime,
    async seal(request, holder) {
      const text = await sealed.seal(request, holder);
      if (text === undefined) throw invalidAuthorization("is too long");
      return text;
    },
    async open(text, holder) {
      const request = await sealed.open(text, holder);
      if (!request) throw invalidAuthorization("has expired, or was begun by another browser");
      return request;
    },
  };
}

const loginRequired: RequestFault = { error: "login_required", description: "The user is not signed in." };
const consentRequired: RequestFault = { error: "consent_required", description: "The user has to be asked." };
const accessDenied: RequestFault = { error: "access_denied", description: "The user denied the request." };

const invalidAuthorization = (detail: string): Problem => invalidRequest({ parameter: "authorization", detail });
const clientChanged = (): Problem => invalidAuthorization("belongs to a client that was changed or deleted since");
const decided = (): Problem =>
  invalidAuthorization("was decided, is not shown to this user, or its client or grant was changed since");

/** `select_account` is a reason to sign in as well: this service has one user at a time in a browser. */
function mustSignInAgain(
  { expectedUser, prompts, maxAgeSeconds, beganAtMs }: AuthorizationRequest,
  user: SignedInUser,
): boolean {
  if (expectedUser !== undefined && user.userId !== expectedUser) return true;
  const authenticatedAtMs = user.authenticatedAt.getTime();
  if (authenticatedAtMs >= beganAtMs) return false;
  const isAsked = prompts.includes("login") || prompts.includes("select_account");
  // Counted from the beginning of the request, so that the user has time to decide.
  const isTooOld = maxAgeSeconds !== undefined && beganAtMs - authenticatedAtMs >= maxAgeSeconds * 1000;
  return isAsked || isTooOld;
}

const decisionEvents = { allow: "authorization-allowed", deny: "authorization-denied" } as const;

const auditDetails = (
  { clientId }: AuthorizationRequest,
  { userId }: SignedInUser,
  { audience, scopes }: RequestedAccess,
) => ({ userId, clientId, audience, scope: scopes.join(" ") });

const seenBy = (request: AuthorizationRequest, { userId }: SignedInUser, { client, access }: Asked) =>
  ({
    id: request.id,
    userId,
    clientId: client.id,
    clientVersion: client.version,
    access,
    expiresAt: new Date(request.beganAtMs + authorizationSeconds * 1000),
  }) satisfies SeenAuthorization;

const codeOf = ({ code, redirectUri, codeChallenge, nonce, dpopJkt }: AuthorizationRequest) => ({
  grantId: grantId(uuidv7()),
  digest: digestOfCode(code),
  redirectUri,
  codeChallenge,
  nonce,
  dpopJkt,
});
