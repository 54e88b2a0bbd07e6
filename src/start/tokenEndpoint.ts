/** The token endpoint, with its grants. */
import { deviceCodeGrant } from "../clients/grantTypes.ts";
import { codeStore } from "../oauth/codes/store.ts";
import { deviceCodeStore } from "../oauth/devices/store.ts";
import { authorizationCode } from "../oauth/grants/authorizationCode.ts";
import { clientCredentials } from "../oauth/grants/clientCredentials.ts";
import { deviceCode } from "../oauth/grants/deviceCode.ts";
import { refreshToken } from "../oauth/grants/refreshToken.ts";
import { createUserTokens } from "../oauth/grants/userTokens.ts";
import { createIdTokens } from "../oauth/idTokens.ts";
import type { FindRequestedAccess } from "../oauth/requestedAccess.ts";
import { createTokenEndpoint, type TokenEndpoint } from "../oauth/token.ts";
import { createClientSessions } from "../sessions/clients/clientSessions.ts";
import { endings } from "../sessions/ending/store.ts";
import { refreshSecrets } from "../sessions/refreshSecrets.ts";
import { issuerOf } from "../tokens/accessTokens.ts";
import type { StartContext } from "./context.ts";
import { type Domain, sessionTimesOf } from "./domain.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

type EarlierParts = {
  observability: Observability;
  storage: Storage;
  keys: Keys;
  domain: Domain;
  findRequestedAccess: FindRequestedAccess;
};

export function openTokenEndpoint(
  { config }: StartContext,
  { observability: { audit }, storage: { database, clock }, keys, domain, findRequestedAccess }: EarlierParts,
): TokenEndpoint {
  const { tokens, revocations, signingKeys, secretKeys } = keys;
  const { grants, sessions, verifyDpopProof } = domain;
  const issuer = issuerOf(config);
  const clientSessions = createClientSessions({
    tokens,
    secrets: refreshSecrets(secretKeys.sealing),
    times: sessionTimesOf(config),
    store: endings(database),
    issuer,
    enforce: revocations.apply,
    audit,
  });
  const issueIdToken = createIdTokens({ keys: signingKeys, issuer, clock });
  const issueUserTokens = createUserTokens({ grants, issueIdToken, issuer });
  const handlers = {
    client_credentials: clientCredentials({ findRequestedAccess, grants, revocations, tokens, issuer, audit }),
    authorization_code: authorizationCode({
      store: codeStore(database),
      sessions: clientSessions,
      issueUserTokens,
      audit,
    }),
    refresh_token: refreshToken({ sessions, grants, issueIdToken, issuer }),
    [deviceCodeGrant]: deviceCode({
      store: deviceCodeStore(database),
      sessions: clientSessions,
      issueUserTokens,
    }),
  };
  return createTokenEndpoint(handlers, verifyDpopProof);
}
