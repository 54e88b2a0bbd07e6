import type { components } from "../../generated/openapi.ts";
import { allOwnScopes, openIdScopes } from "../access/scopes.ts";
import { follow } from "../lib/follow.ts";
import type { Handler } from "../openapi/binding.ts";
import { directClientId } from "../tokens/claims.ts";
import type { Introspect, Introspected } from "./introspection.ts";
import type { RevokePresented } from "./revocation.ts";

type ActiveToken = components["schemas"]["ActiveToken"];

/** @param issuer of all tokens, and the audience of those for this service */
export const introspectToken =
  (introspect: Introspect, issuer: string): Handler<"introspectToken"> =>
  ({ body }) =>
    follow(introspect(body.token, body.revocations_after), (found) => ({
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
    scopes_supported: [...allOwnScopes, ...openIdScopes],
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
      ...(found.expiresAt && { exp: secondsOf(found.expiresAt) }),
      api_key_id: found.principal.apiKeyId,
    };
  }
  const { tokenId, issuedAt, expiresAt, epoch, epochs } = found.principal;
  const token = {
    ...rights,
    iat: secondsOf(issuedAt),
    exp: secondsOf(expiresAt),
    jti: tokenId,
    epoch,
    ...(epochs && { epochs: { ...epochs } }),
  };
  if (found.principal.proof === "client-token") {
    const { clientId, audience = issuer } = found.principal;
    return { ...common("access_token", { clientId, userId: clientId }, issuer), ...token, aud: audience };
  }
  const { sessionId } = found.principal;
  return {
    ...common("access_token", found.principal, issuer),
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

const secondsOf = (time: Date): number => Math.floor(time.getTime() / 1000);
