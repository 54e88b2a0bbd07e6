import type { components } from "../../generated/openapi.ts";
import { allOwnScopes } from "../access/scopes.ts";
import { follow } from "../lib/follow.ts";
import type { Handler } from "../openapi/binding.ts";
import { clientId } from "../tokens/claims.ts";
import type { Introspect, Introspected } from "./introspection.ts";
import type { RevokePresented } from "./revocation.ts";

type ActiveToken = components["schemas"]["ActiveToken"];

/** @param issuer of all tokens, and the audience of those for this service */
export const introspectToken =
  (introspect: Introspect, issuer: string): Handler<"introspectToken"> =>
  ({ body }) =>
    follow(introspect(body.token, { after: body.revocations_after, audience: body.audience }), (found) => ({
      status: 200,
      body: found ? represent(found, issuer) : { active: false },
    }));

export const revokeOAuthToken =
  (revoke: RevokePresented): Handler<"revokeOAuthToken"> =>
  async ({ body }) => {
    await revoke(body.token);
    return { status: 200 };
  };

/** @param documentation whether the service has documentation */
export function getServerMetadata(issuer: string, documentation: boolean): Handler<"getServerMetadata"> {
  const body = {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    introspection_endpoint: `${issuer}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: ["client_secret_basic", "Bearer"],
    revocation_endpoint: `${issuer}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: ["none"],
    scopes_supported: [...allOwnScopes],
    response_types_supported: [],
    grant_types_supported: [],
    ...(documentation && { service_documentation: `${issuer}/docs` }),
  };
  return () => ({ status: 200, body });
}

function represent(found: Introspected, issuer: string): ActiveToken {
  if (found.kind === "refresh-token") {
    const { id, userId, username, expiresAt } = found.session;
    return {
      ...common("refresh_token", { userId, username }, issuer),
      aud: issuer,
      exp: secondsOf(expiresAt),
      sid: id,
    };
  }
  const { principal, allowed } = found;
  const rights = {
    scope: allowed.scopes.join(" "),
    roles: [...allowed.roles],
    revocation_subjects: [...allowed.revocationSubjects],
  };
  if (found.kind === "api-key") {
    return {
      ...common("api_key", principal, issuer),
      ...rights,
      ...(found.audience !== undefined && { aud: found.audience }),
      ...(found.expiresAt && { exp: secondsOf(found.expiresAt) }),
      api_key_id: found.principal.apiKeyId,
    };
  }
  const { sessionId, tokenId, issuedAt, expiresAt, epoch } = found.principal;
  return {
    ...common("access_token", principal, issuer),
    ...rights,
    aud: found.principal.proof === "token" ? issuer : found.principal.audience,
    iat: secondsOf(issuedAt),
    exp: secondsOf(expiresAt),
    jti: tokenId,
    ...(sessionId && { sid: sessionId }),
    epoch,
    ...(found.principal.proof === "api-token" && { epochs: { ...found.principal.epochs } }),
  };
}

const common = (kind: ActiveToken["token_type"], user: { userId: string; username: string }, issuer: string) => ({
  active: true as const,
  token_type: kind,
  client_id: clientId,
  username: user.username,
  sub: user.userId,
  iss: issuer,
});

const secondsOf = (time: Date): number => Math.floor(time.getTime() / 1000);
