/** Exports all users with their password hashes, in the order of their ids. */
import { csvHeader, toCsv } from "./csv.ts";
import type { Format } from "./entry.ts";
import type { ExportedUser, TransferStore } from "./storeTypes.ts";

/** Yields the text of the export in pieces. An import of it makes the same users. */
export async function* exportUsers(store: Pick<TransferStore, "readPage">, format: Format): AsyncGenerator<string> {
  if (format === "csv") yield csvHeader;
  const write = format === "csv" ? toCsv : (user: ExportedUser) => `${JSON.stringify(user)}\n`;
  let page = await store.readPage(undefined);
  while (page.length > 0) {
    yield page.map(write).join("");
    page = await store.readPage(page.at(-1)?.id);
  }
}
