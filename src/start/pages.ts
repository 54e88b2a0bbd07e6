/** The pages that people see. */
import type { Authorizations } from "../oauth/authorization/authorizations.ts";
import type { DescribeAccess } from "../oauth/authorization/describedScopes.ts";
import type { PageParts } from "../pages/handlers.ts";
import { createPages } from "../pages/pages.ts";
import type { StartContext } from "./context.ts";
import type { Domain } from "./domain.ts";

export function openPages(
  { config }: StartContext,
  {
    domain,
    authorizations,
    describeAccess,
  }: { domain: Domain; authorizations: Authorizations; describeAccess: DescribeAccess },
): PageParts {
  const { users, browserSessions, clients } = domain;
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
    authorizations,
    describeAccess,
    isPageRegistrationOpen: isRegistrationOpen,
  };
}
