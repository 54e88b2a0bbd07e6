/** A client redeems an authorization code (RFC 6749, section 4.1.3; OAuth 2.1, section 4.1.3; PKCE: RFC 7636, section 4.6). */
import { createHash } from "node:crypto";
import type { Audit } from "../../audit/audit.ts";
import type { ClientId } from "../../identifiers.ts";
import type { ClientSessions } from "../../sessions/clients/clientSessions.ts";
import { digestOfCode } from "../codes/codes.ts";
import type { CodeStore } from "../codes/storeTypes.ts";
import { narrowedAccess, scopesAsked } from "../requestedAccess.ts";
import { type GrantHandler, invalidGrant, requireParameter, type TokenParameters } from "./grant.ts";
import type { IssueUserTokens } from "./userTokens.ts";

type Parts = {
  store: CodeStore;
  sessions: ClientSessions;
  issueUserTokens: IssueUserTokens;
  audit: Audit;
};

export function authorizationCode({ store, sessions, issueUserTokens, audit }: Parts): GrantHandler {
  /** Before the code is used up. @throws {Problem} `invalid-target` if the client asks for another audience than the user allowed */
  async function requireResource({ resource }: TokenParameters, digest: Buffer, clientId: ClientId): Promise<void> {
    const audience = resource === undefined ? undefined : await store.findAudience(digest, clientId);
    if (audience !== undefined) narrowedAccess({ audience, scopes: [] }, { resource });
  }

  return async (client, parameters, proofKey) => {
    const presented = {
      digest: digestOfCode(requireParameter(parameters, "code")),
      clientId: client.id,
      // The database does not compare it in constant time. It need not: a verifier cannot be chosen by the first bytes of its digest.
      codeChallenge: challengeOf(requireParameter(parameters, "code_verifier")),
      // OAuth 2.1 leaves it out, because the verifier binds the code to the request. If it is sent, it must be the same.
      redirectUri: parameters.redirect_uri ?? null,
      proofKey: proofKey ?? null,
    };
    const limit = scopesAsked(parameters.scope);
    await requireResource(parameters, presented.digest, client.id);
    const prepared = sessions.prepare(client, proofKey);
    const redeemed = await store.redeem(presented, prepared.values);
    if (!redeemed) {
      // Only with the right client, verifier and redirect URI. Otherwise anyone who sees the code could end the session.
      const replayed = await store.findRedeemed(presented);
      const reason = replayed ? "redeemed" : "invalid";
      audit("authorization-code-refused", { userId: replayed?.userId, clientId: client.id, reason });
      if (replayed) await sessions.endReplayed("authorization-code-reused", { ...replayed, clientId: client.id });
      throw invalidGrant();
    }
    const { nonce, ...session } = redeemed;
    sessions.report(prepared, session);
    return issueUserTokens({ client, prepared, session, proofKey, limit, nonce: nonce ?? undefined });
  };
}

const challengeOf = (verifier: string): string => createHash("sha256").update(verifier, "ascii").digest("base64url");
