import type { Handler } from "../openapi/binding.ts";
import { requestContext } from "../requestContext.ts";
import type { RevocationFeed } from "./feed.ts";

export const listRevocations =
  (feed: RevocationFeed): Handler<"listRevocations"> =>
  async ({ principal, query }) => {
    const page = await feed.read({ after: query?.after, waitMs: 1000 * (query?.wait ?? 0), principal });
    return {
      status: 200,
      body: {
        entries: page.entries.map(({ subject, minimumEpoch, expiresAt }) => ({
          subject,
          minimum_epoch: minimumEpoch,
          expires_at: expiresAt.toISOString(),
        })),
        next: page.next,
        has_more: page.hasMore,
        // Rounded down, because it is a lower bound.
        complete_at_offset_ms: Math.floor(page.completeAtMs - requestContext().startedAt),
      },
    };
  };
