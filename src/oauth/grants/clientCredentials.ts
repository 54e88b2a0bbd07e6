/**
 * A client gets a token for itself (RFC 6749, section 4.4). Once everything is in memory, it takes no query and waits only for the
 * signature.
 */
import { apiSubject } from "../../access/apis.ts";
import type { Grants } from "../../access/grants.ts";
import { isOfEveryUser } from "../../access/rights.ts";
import type { Audit } from "../../audit/audit.ts";
import { follow } from "../../lib/follow.ts";
import { Problem } from "../../problems/problems.ts";
import type { Revocations } from "../../revocations/revocations.ts";
import { tokenClientOf } from "../../sessions/clients/clientSessions.ts";
import type { AccessTokens } from "../../tokens/accessTokens.ts";
import type { FindRequestedAccess } from "../requestedAccess.ts";
import type { GrantHandler } from "./grant.ts";

type Parts = {
  findRequestedAccess: FindRequestedAccess;
  grants: Pick<Grants, "findApi">;
  revocations: Pick<Revocations, "epochOfEverybody">;
  tokens: Pick<AccessTokens, "prepareForClient" | "ttlSeconds">;
  issuer: string;
  audit: Audit;
};

export const clientCredentials =
  ({ findRequestedAccess, grants, revocations, tokens, issuer, audit }: Parts): GrantHandler =>
  (client, request, proofKey) => {
    // Anyone can claim to be a public client.
    if (client.authentication === "none") throw new Problem("unauthorized-client");
    const issue = tokens.prepareForClient(performance.now());
    return follow(findRequestedAccess(client, request), ({ audience, scopes: requested }) =>
      follow(audience === issuer ? undefined : grants.findApi(audience), (api) => {
        if (audience !== issuer && !api) throw new Problem("invalid-target");
        // A client has no account, and is no user of OpenID Connect.
        const scopes = requested.filter((scope) => !isOfEveryUser(scope));
        const { id, epochs } = tokenClientOf(client);
        const seconds = api?.ttlSeconds ?? tokens.ttlSeconds;
        return issue(
          {
            id,
            epoch: revocations.epochOfEverybody(),
            epochs: api ? { ...epochs, [apiSubject(audience)]: api.version } : epochs,
            audience,
            scopes,
            boundTo: proofKey,
          },
          seconds,
        ).then((accessToken) => {
          audit("client-token-issued", { clientId: id, audience, scope: scopes.join(" ") });
          return { accessToken, expiresInSeconds: seconds, scopes };
        });
      }),
    );
  };
