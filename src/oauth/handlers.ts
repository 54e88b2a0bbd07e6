import type { components } from "../../generated/openapi.ts";
import { follow } from "../lib/follow.ts";
import type { Handler } from "../openapi/binding.ts";
import type { TokenPrincipal } from "../principal.ts";
import { clientId } from "../tokens/claims.ts";
import type { Users } from "../users/users.ts";
import type { Introspect, Introspected } from "./introspection.ts";
import { type MetadataParts, serverMetadata } from "./metadata.ts";
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

export const getServerMetadata =
  (parts: MetadataParts): Handler<"getServerMetadata"> =>
  () => ({ status: 200, body: serverMetadata(parts) });

export const getOpenidConfiguration =
  (parts: MetadataParts): Handler<"getOpenidConfiguration"> =>
  () => ({ status: 200, body: serverMetadata(parts) });

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
