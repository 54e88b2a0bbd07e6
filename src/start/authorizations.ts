/** Authorizations: users let clients act for them, and see and withdraw what they allow. */
import { type Authorizations, createAuthorizations } from "../oauth/authorization/authorizations.ts";
import type { DescribeAccess } from "../oauth/authorization/describedScopes.ts";
import { createSealedRequests } from "../oauth/authorization/sealed.ts";
import { authorizationStore } from "../oauth/authorization/store.ts";
import { createIdTokenHints } from "../oauth/idTokenHints.ts";
import type { FindRequestedAccess } from "../oauth/requestedAccess.ts";
import { userGrantStore } from "../oauth/userGrants/store.ts";
import { createUserGrants, type UserGrants } from "../oauth/userGrants/userGrants.ts";
import { issuerOf } from "../tokens/accessTokens.ts";
import type { StartContext } from "./context.ts";
import type { Domain } from "./domain.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

type EarlierParts = {
  observability: Observability;
  storage: Storage;
  keys: Keys;
  domain: Domain;
  findRequestedAccess: FindRequestedAccess;
  describeAccess: DescribeAccess;
};

export function openAuthorizations(
  { config }: StartContext,
  {
    observability: { audit },
    storage: { database, clock },
    keys,
    domain,
    findRequestedAccess,
    describeAccess,
  }: EarlierParts,
): { authorizations: Authorizations; userGrants: UserGrants } {
  const issuer = issuerOf(config);
  return {
    authorizations: createAuthorizations({
      clients: domain.clients,
      readIdTokenHint: createIdTokenHints({ keys: keys.signingKeys, issuer }),
      findRequestedAccess,
      describeAccess,
      access: domain.access,
      sealed: createSealedRequests(keys.secretKeys.sealing, clock),
      store: authorizationStore(database),
      issuer,
      clock,
      audit,
    }),
    userGrants: createUserGrants({ store: userGrantStore(database), enforce: keys.revocations.apply, audit }),
  };
}
