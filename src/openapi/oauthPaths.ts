/** Requests whose errors have the form of OAuth (RFC 6749, section 5.2) although they match no operation. */
import type { Operation } from "./contract.ts";

/** @returns whether a request target, or an invalid one after `*`, is below the folder of an operation with such errors: `/oauth/` for `/oauth/revoke` */
export function oauthPaths(operations: readonly Operation[]): (target: string) => boolean {
  const folders = new Set(
    operations
      .filter(({ hasOAuthErrors }) => hasOAuthErrors)
      .map(({ path }) => path.slice(0, path.lastIndexOf("/") + 1)),
  );
  return (target) => [...folders].some((folder) => target.startsWith(folder) || target.startsWith(`*${folder}`));
}
