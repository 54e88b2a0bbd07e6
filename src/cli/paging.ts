/** Reads long lists in pages. */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { printMessage } from "./output.ts";

/** `next`: the `--after` of the next page; `undefined` if there is none. */
export type Page<Item> = { items: readonly Item[]; next: string | undefined };

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

/** The value of `--limit`. */
export function parseLimit(text: string): number {
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit < 1) throw new InvalidArgumentError("Allowed: a whole number from 1 to 999999999.");
  return limit;
}

/** The descriptions of options that many commands have. */
export const optionTexts = {
  json: "print JSON, one object per line",
  limit: "print no more than this number",
  after: "continue after a list that --limit has ended",
  name: "username or user id",
};
