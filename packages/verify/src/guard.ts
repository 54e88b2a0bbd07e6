/** Guards: what the adapters ask about each request. */

import type { Verifier } from "./options.ts";
import type { Principal } from "./principal.ts";

/** The part of a request that a guard decides on. */
export type GuardedRequest = {
  method: string;
  /** The request target: the path with the query, or an absolute URL. */
  url: string;
  /** The `Authorization` header. */
  authorization: string | null | undefined;
  /** The `Sec-Fetch-Dest` header: scripts in a browser get no challenge that opens the browser's login dialog. */
  fetchDestination?: string | null | undefined;
};

export type Guard = {
  /**
   * @returns the caller; `undefined` if the operation is open. Without a promise if the credential was verified before
   * @throws {Refusal} nothing else
   */
  authorize(request: GuardedRequest): Principal | undefined | Promise<Principal | undefined>;
};

/** A guard that requires the same scopes of every request. */
export function requireScopes(verifier: Pick<Verifier, "verify">, scopes: readonly string[] = []): Guard {
  const required = { scopes: [...scopes] };
  return { authorize: ({ authorization }) => verifier.verify(authorization, required) };
}
