/** The token endpoint (RFC 6749, section 3.2). */
import type { Client, GrantType } from "../clients/storeTypes.ts";
import { Problem } from "../problems/problems.ts";
import type { GrantHandler, IssuedTokens, TokenParameters } from "./grants/grant.ts";

export type GrantHandlers = Readonly<Partial<Record<GrantType, GrantHandler>>>;

/**
 * @param client authenticated
 * @throws {Problem} `unsupported-grant-type`, `unauthorized-client`, and what the grant throws
 */
export type IssueGrantedTokens = (client: Client, parameters: TokenParameters) => Promise<IssuedTokens>;

export type TokenEndpoint = {
  issue: IssueGrantedTokens;
  /** Those that it has. */
  grantTypes: readonly string[];
};

export function createTokenEndpoint(grants: GrantHandlers): TokenEndpoint {
  const handlers = new Map<string, GrantHandler>(Object.entries(grants));
  const issue: IssueGrantedTokens = async (client, parameters) => {
    const handle = handlers.get(parameters.grant_type);
    if (!handle) throw new Problem("unsupported-grant-type");
    if (!client.grantTypes.some((type) => type === parameters.grant_type)) throw new Problem("unauthorized-client");
    return handle(client, parameters);
  };
  return { issue, grantTypes: [...handlers.keys()] };
}
