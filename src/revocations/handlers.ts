import type { components } from "../../generated/openapi.ts";
import type { Handler } from "../openapi/binding.ts";
import { requestContext } from "../requestContext.ts";
import type { RevocationFeed } from "./feed.ts";
import type { Revocation } from "./storeTypes.ts";

type Entry = components["schemas"]["RevocationEntry"];

export function listRevocations(feed: RevocationFeed): Handler<"listRevocations"> {
  /** The represented entries of lists that many followers get at the same time. */
  const represented = new WeakMap<readonly Revocation[], Entry[]>();

  return async ({ principal, query }) => {
    const page = await feed.read({ after: query?.after, waitMs: 1000 * (query?.wait ?? 0), principal });
    const entries = represented.get(page.entries) ?? page.entries.map(represent);
    represented.set(page.entries, entries);
    return {
      status: 200,
      body: {
        entries,
        next: page.next,
        has_more: page.hasMore,
        // Rounded down, because it is a lower bound.
        complete_at_offset_ms: Math.floor(page.completeAtMs - requestContext().startedAt),
      },
    };
  };
}

const represent = ({ subject, minimumEpoch, expiresAt }: Revocation): Entry => ({
  subject,
  minimum_epoch: minimumEpoch,
  expires_at: expiresAt.toISOString(),
});
