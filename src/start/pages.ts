/** The pages that people see. */
import type { PageParts } from "../pages/handlers.ts";
import { createPages } from "../pages/pages.ts";
import type { StartContext } from "./context.ts";
import type { Domain } from "./domain.ts";

export function openPages(
  { config }: StartContext,
  { users, browserSessions, clients }: Domain,
): Omit<PageParts, "authorizations" | "readSignOutRequest"> {
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
    isPageRegistrationOpen: isRegistrationOpen,
  };
}
