/** The pages that people see, and the authorization requests that they show. */
import { createAuthorizations } from "../oauth/authorization/authorizations.ts";
import { createSealedRequests } from "../oauth/authorization/sealed.ts";
import { authorizationStore } from "../oauth/authorization/store.ts";
import { createDescribeAccess } from "../oauth/describedAccess.ts";
import { createRequestedAccess } from "../oauth/requestedAccess.ts";
import type { PageParts } from "../pages/handlers.ts";
import { createPages } from "../pages/pages.ts";
import { defaultIssuer } from "../tokens/accessTokens.ts";
import type { StartContext } from "./context.ts";
import type { Domain } from "./domain.ts";
import type { Keys } from "./keys.ts";
import type { Storage } from "./storage.ts";

export function openPages(
  { config }: StartContext,
  { storage: { database, clock }, keys, domain }: { storage: Storage; keys: Keys; domain: Domain },
): PageParts {
  const { users, browserSessions, clients, apis, access, grants } = domain;
  const issuer = config.publicUrl ?? defaultIssuer;
  const isRegistrationOpen = config.pagesRegistration;
  return {
    pages: createPages({
      name: config.pagesName,
      logoUrl: config.pagesLogoUrl,
      color: config.pagesColor,
      isRegistrationOpen,
    }),
    users,
    browserSessions,
    clients,
    authorizations: createAuthorizations({
      clients,
      requestedAccess: createRequestedAccess({ grants, issuer }),
      access,
      sealed: createSealedRequests(keys.secretKeys.sealing, { now: clock }),
      store: authorizationStore(database),
      issuer,
      clock: { now: clock },
    }),
    describeAccess: createDescribeAccess({ apis, issuer }),
    isPageRegistrationOpen: isRegistrationOpen,
  };
}
