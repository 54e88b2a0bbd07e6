/** Pages of a list. */

/** `next`: the cursor after which the next page begins; `undefined` if this page is the last. */
export type Page<Item> = { items: Item[]; next: string | undefined };

/**
 * @param limit the maximum number of items of the page
 * @param read reads at most this number of items. It is asked for one more, which shows that there is another page
 * @param cursorOf the cursor of the last item
 */
export async function readPage<Item>(
  limit: number,
  read: (limit: number) => Promise<Item[]>,
  cursorOf: (last: Item) => string,
): Promise<Page<Item>> {
  const found = await read(limit + 1);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: last && found.length > limit ? cursorOf(last) : undefined };
}
