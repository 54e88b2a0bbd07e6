import type { components } from "../../generated/openapi.ts";
import type { Apis } from "../access/apis.ts";
import { allOwnScopes, insufficientScope, openIdScopes } from "../access/scopes.ts";
import type { Audit } from "../audit/audit.ts";
import type { AuthenticateClient, ClientParameters } from "../clients/authentication.ts";
import { follow } from "../lib/follow.ts";
import { secondsOf } from "../lib/seconds.ts";
import type { GuardingHandler, Handler } from "../openapi/binding.ts";
import type { TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { directClientId } from "../tokens/claims.ts";
import type { Users } from "../users/users.ts";
import { authenticatesClient } from "./callers.ts";
import type { Introspect, Introspected } from "./introspection.ts";
import { type MetadataParts, resourceMetadata, serverMetadata } from "./metadata.ts";
import type { RevokePresented } from "./revocation.ts";
import type { EndpointTokens, TokenEndpoint } from "./token.ts";

type ActiveToken = components["schemas"]["ActiveToken"];

type IntrospectionParts = {
  authenticateClient: AuthenticateClient;
  /** Authenticates and authorizes a caller that is no client, as the contract declares. */
  authorizeIntrospection(authorization: string | undefined): unknown;
  introspect: Introspect;
  /** The issuer of all tokens, and the audience of the tokens for this service. */
  issuer: string;
  audit: Audit;
};

export function introspectToken(parts: IntrospectionParts): GuardingHandler<"introspectToken"> {
  const { authenticateClient, authorizeIntrospection, introspect, issuer, audit } = parts;

  async function authorizeClient(authorization: string | undefined, parameters: ClientParameters): Promise<void> {
    const client = await authenticateClient({ authorization, parameters });
    // Anyone can claim to be a public client.
    if (client.authentication === "none") throw new Problem("invalid-client");
    // A client that registered itself has its scopes only for users who allow them, not for itself.
    if (client.registration === "administrator" && client.scopes.includes(introspectionScope)) return;
    audit("scope-refused", { clientId: client.id, scope: introspectionScope });
    throw insufficientScope([introspectionScope]);
  }

  return {
    guardInvalid: (authorization, body) =>
      authenticatesClient(authorization, isObject(body) ? body : {}) || authorizeIntrospection(authorization),
    guardAndHandle({ body }, authorization) {
      const authorized = authenticatesClient(authorization, body)
        ? authorizeClient(authorization, body)
        : authorizeIntrospection(authorization);
      return follow(authorized, () =>
        follow(introspect(body.token, { after: body.revocations_after, audience: body.audience }), (found) => ({
          status: 200 as const,
          body: found ? represent(found, issuer) : { active: false as const },
        })),
      );
    },
  };
}

const introspectionScope = "tokens:introspect";

const isObject = (value: unknown): value is Record<string, string> => typeof value === "object" && value !== null;

type TokenParts = { authenticateClient: AuthenticateClient; tokenEndpoint: Pick<TokenEndpoint, "issue"> };

export const issueOAuthTokens = ({
  authenticateClient,
  tokenEndpoint,
}: TokenParts): GuardingHandler<"issueOAuthTokens"> => ({
  guardAndHandle({ body }, authorization) {
    const authenticated = authenticateClient({ authorization, parameters: body });
    const issued = follow(authenticated, (client) => tokenEndpoint.issue(client, body));
    return follow(issued, (tokens) => ({ status: 200 as const, body: representTokens(tokens) }));
  },
});

const representTokens = (issued: EndpointTokens): components["schemas"]["OAuthTokens"] => ({
  access_token: issued.accessToken,
  token_type: issued.isBound ? "DPoP" : "Bearer",
  expires_in: issued.expiresInSeconds,
  scope: issued.scopes.join(" "),
  ...(issued.refreshToken !== undefined && { refresh_token: issued.refreshToken }),
  ...(issued.idToken !== undefined && { id_token: issued.idToken }),
});

type RevocationParts = { authenticateClient: AuthenticateClient; revokePresented: RevokePresented };

export const revokeOAuthToken = ({
  authenticateClient,
  revokePresented,
}: RevocationParts): GuardingHandler<"revokeOAuthToken"> => ({
  async guardAndHandle({ body }, authorization) {
    const isClient = authenticatesClient(authorization, body);
    const client = isClient ? await authenticateClient({ authorization, parameters: body }) : undefined;
    await revokePresented(body.token, client?.id);
    return { status: 200 };
  },
});

export const getServerMetadata =
  (parts: MetadataParts): Handler<"getServerMetadata"> =>
  () => ({ status: 200, body: serverMetadata(parts) });

export const getOpenidConfiguration =
  (parts: MetadataParts): Handler<"getOpenidConfiguration"> =>
  () => ({ status: 200, body: serverMetadata(parts) });

export const getResourceMetadata =
  ({ apis, issuer }: { apis: Pick<Apis, "find">; issuer: string }): Handler<"getResourceMetadata"> =>
  async ({ query }) => {
    const resource = query?.resource ?? issuer;
    const scopes =
      resource === issuer
        ? [...allOwnScopes, ...openIdScopes]
        : (await apis.find(resource)).scopes.map(({ name }) => name);
    return { status: 200, body: resourceMetadata(issuer, resource, scopes) };
  };

export const getUserinfo =
  (users: Pick<Users, "readSelf">): Handler<"getUserinfo"> =>
  async ({ principal }) => ({ status: 200, body: await userinfo(users, principal) });

export const postUserinfo =
  (users: Pick<Users, "readSelf">): Handler<"postUserinfo"> =>
  async ({ principal }) => ({ status: 200, body: await userinfo(users, principal) });

/** The claims that the scopes of the token allow (OpenID Connect Core, section 5.4). A token without scopes has no limit. */
async function userinfo(
  users: Pick<Users, "readSelf">,
  principal: TokenPrincipal,
): Promise<components["schemas"]["Userinfo"]> {
  const { id, username } = await users.readSelf(principal);
  const hasProfile = principal.scopes?.has("profile") ?? true;
  return { sub: id, ...(hasProfile && { preferred_username: username }) };
}

function represent(found: Introspected, issuer: string): ActiveToken {
  if (found.kind === "refresh-token") {
    const { id, userId, username, clientId, expiresAt } = found.session;
    return {
      ...common("refresh_token", { userId, username, clientId }, issuer),
      aud: issuer,
      exp: secondsOf(expiresAt),
      sid: id,
    };
  }
  const { allowed } = found;
  const rights = {
    scope: allowed.scopes.join(" "),
    roles: [...allowed.roles],
    revocation_subjects: [...allowed.revocationSubjects],
  };
  if (found.kind === "api-key") {
    return {
      ...common("api_key", found.principal, issuer),
      ...rights,
      ...(found.audience !== undefined && { aud: found.audience }),
      ...(found.expiresAt && { exp: secondsOf(found.expiresAt) }),
      api_key_id: found.principal.apiKeyId,
    };
  }
  const { tokenId, issuedAt, expiresAt, epoch, epochs, boundTo } = found.principal;
  const kind = boundTo === undefined ? "access_token" : "DPoP";
  const token = {
    ...rights,
    iat: secondsOf(issuedAt),
    exp: secondsOf(expiresAt),
    jti: tokenId,
    epoch,
    ...(epochs && { epochs: { ...epochs } }),
    ...(boundTo !== undefined && { cnf: { jkt: boundTo } }),
  };
  if (found.principal.proof === "client-token") {
    const { clientId, audience = issuer } = found.principal;
    return { ...common(kind, { clientId, userId: clientId }, issuer), ...token, aud: audience };
  }
  const { sessionId } = found.principal;
  return {
    ...common(kind, found.principal, issuer),
    ...token,
    aud: found.principal.proof === "token" ? issuer : found.principal.audience,
    ...(sessionId && { sid: sessionId }),
  };
}

type Subject = { userId: string; username?: string; clientId?: string | null };

/** The subject of a token that a client got for itself is the client. */
const common = (kind: ActiveToken["token_type"], { userId, username, clientId }: Subject, issuer: string) => ({
  active: true as const,
  token_type: kind,
  client_id: clientId ?? directClientId,
  ...(username !== undefined && { username }),
  sub: userId,
  iss: issuer,
});
