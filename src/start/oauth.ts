/** The endpoints of OAuth. */
import { apiStore } from "../access/store.ts";
import { createDescriptions } from "../oauth/authorization/describedScopes.ts";
import { createIdTokenHints } from "../oauth/idTokenHints.ts";
import { createIntrospection } from "../oauth/introspection.ts";
import { createRequestedAccess } from "../oauth/requestedAccess.ts";
import { createRevocation } from "../oauth/revocation.ts";
import { createSignOutRequests } from "../oauth/signOut.ts";
import type { HandlerDependencies } from "../operations.ts";
import { issuerOf } from "../tokens/accessTokens.ts";
import { createTokenRevocation } from "../tokens/revocation.ts";
import { openAuthorizations } from "./authorizations.ts";
import type { StartContext } from "./context.ts";
import { openDeviceCodes } from "./deviceCodes.ts";
import type { Domain } from "./domain.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";
import { openTokenEndpoint } from "./tokenEndpoint.ts";

type EarlierStages = { observability: Observability; storage: Storage; keys: Keys; domain: Domain };

export function openOAuth(
  context: StartContext,
  earlier: EarlierStages,
): Pick<
  HandlerDependencies,
  | "introspect"
  | "revokePresented"
  | "revokeAccessToken"
  | "authenticateClient"
  | "deviceCodes"
  | "tokenEndpoint"
  | "describeAccess"
  | "readSignOutRequest"
  | "authorizations"
  | "userGrants"
> {
  const { tokens, revocations, revocationFeed: feed } = earlier.keys;
  const {
    sessions,
    access,
    apiKeys,
    apiKeyVerification,
    grants,
    authenticateClient,
    protectedApis: apis,
  } = earlier.domain;
  const { audit } = earlier.observability;
  const issuer = issuerOf(context.config);
  const findRequestedAccess = createRequestedAccess({ grants, issuer });
  const describeAccess = createDescriptions({ findApi: apiStore(earlier.storage.database).find, issuer });
  const revokeAccessToken = createTokenRevocation({ revocations, endSession: sessions.end, audit });
  return {
    introspect: createIntrospection({
      tokens,
      revocations,
      access,
      apiKeys: apiKeyVerification,
      sessions,
      feed,
      apis,
      issuer,
    }),
    revokePresented: createRevocation({ tokens, revocations, revokeAccessToken, apiKeys, sessions }),
    revokeAccessToken,
    authenticateClient,
    tokenEndpoint: openTokenEndpoint(context, { ...earlier, findRequestedAccess }),
    describeAccess,
    readSignOutRequest: createSignOutRequests({
      clients: earlier.domain.clients,
      readIdTokenHint: createIdTokenHints({ keys: earlier.keys.signingKeys, issuer }),
    }),
    deviceCodes: openDeviceCodes(context, { ...earlier, findRequestedAccess, access }),
    ...openAuthorizations(context, { ...earlier, findRequestedAccess, describeAccess }),
  };
}
