import type { Handler } from "../contract/binding.ts";
import type { AccessTokens } from "./accessTokens.ts";
import type { SigningKeys } from "./signingKeys.ts";

export const issueToken =
  (tokens: AccessTokens): Handler<"issueToken"> =>
  async ({ principal }) => ({
    status: 200,
    body: { token: await tokens.issue(principal), duration: tokens.ttlSeconds },
  });

export const getJwks =
  (keys: SigningKeys): Handler<"getJwks"> =>
  () => ({ status: 200, body: keys.jwks });
