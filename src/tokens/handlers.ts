import type { Handler } from "../contract/binding.ts";
import type { AccessTokens } from "./accessTokens.ts";
import { everyEpoch, type Revocations } from "./revocations.ts";
import type { SigningKeys } from "./signingKeys.ts";

export const issueToken =
  (tokens: AccessTokens): Handler<"issueToken"> =>
  async ({ principal }) => ({
    status: 200,
    body: { token: await tokens.issue(principal), duration: tokens.ttlSeconds },
  });

export const revokeToken =
  (revocations: Revocations): Handler<"revokeToken"> =>
  async ({ principal: { tokenId, expiresAt } }) => {
    await revocations.revoke({ subject: tokenId, minimumEpoch: everyEpoch, expiresAt });
    return { status: 204 };
  };

export const getJwks =
  (keys: SigningKeys): Handler<"getJwks"> =>
  () => ({ status: 200, body: keys.jwks });
