/** Reads long lists in pages. */
import type { Page } from "../lib/page.ts";
import { printMessage } from "./output.ts";

const pageSize = 500;

/**
 * Yields the items page by page. A list never stops silently: without a limit it is complete, otherwise a message says how to
 * continue.
 * @param options.after the cursor after which the list begins
 */
export async function* pages<Item>(
  read: (limit: number, after: string | undefined) => Promise<Page<Item>>,
  { limit = Number.POSITIVE_INFINITY, after }: { limit?: number | undefined; after?: string | undefined },
): AsyncGenerator<readonly Item[]> {
  let left = limit;
  let cursor = after;
  do {
    const { items, next } = await read(Math.min(left, pageSize), cursor);
    yield items;
    left -= items.length;
    cursor = next;
  } while (cursor !== undefined && left > 0);
  if (cursor !== undefined) printMessage(`There are more. Continue with --after '${cursor}'.`);
}
