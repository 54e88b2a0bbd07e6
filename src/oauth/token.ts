/** The token endpoint (RFC 6749, section 3.2). */
import type { Client, GrantType } from "../clients/storeTypes.ts";
import { follow } from "../lib/follow.ts";
import { Problem } from "../problems/problems.ts";
import { requestContext } from "../requestContext.ts";
import type { VerifyDpopProof } from "./dpop.ts";
import type { GrantHandler, IssuedTokens, TokenParameters } from "./grants/grant.ts";

export type GrantHandlers = Readonly<Partial<Record<GrantType, GrantHandler>>>;

/**
 * @param client authenticated
 * @throws {Problem} `unsupported-grant-type`, `unauthorized-client`, `invalid-dpop-proof`, and what the grant throws
 */
export type IssueGrantedTokens = (
  client: Client,
  parameters: TokenParameters,
) => EndpointTokens | Promise<EndpointTokens>;

/** `isBound`: the access token is bound to the key of the request's proof (RFC 9449, section 5). */
export type EndpointTokens = IssuedTokens & { isBound: boolean };

export type TokenEndpoint = {
  issue: IssueGrantedTokens;
  /** Those that it has. */
  grantTypes: readonly string[];
};

export function createTokenEndpoint(grants: GrantHandlers, verifyDpopProof: VerifyDpopProof): TokenEndpoint {
  const handlers = new Map<string, GrantHandler>(Object.entries(grants));
  const issue: IssueGrantedTokens = (client, parameters) => {
    const handle = handlers.get(parameters.grant_type);
    if (!handle) throw new Problem("unsupported-grant-type");
    if (!client.grantTypes.some((type) => type === parameters.grant_type)) throw new Problem("unauthorized-client");
    const { proof } = requestContext();
    return follow(proof && verifyDpopProof(proof), (proofKey) => {
      if (proof && proofKey === undefined) throw new Problem("invalid-dpop-proof");
      const isBound = proofKey !== undefined;
      return follow(handle(client, parameters, proofKey), (issued) => ({ ...issued, isBound }));
    });
  };
  return { issue, grantTypes: [...handlers.keys()] };
}
