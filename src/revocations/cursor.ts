/**
 * The cursors of the feed: positions in the revocation list, as text that clients pass back. A cursor contains all that is needed
 * to continue, so every instance understands it. It grants nothing, so it is not signed. Its content is validated.
 */
import { isId, isSnapshot, type Position } from "./position.ts";

export type Cursor = {
  /** The client has every entry that is visible here, once it has read all pages. */
  position: Position;
  /** A time of the database, in milliseconds since 1970. The client lacks only entries that were committed later. */
  atMs: number;
  /** If there are more pages: where the next one begins. */
  page?: Page;
};

/** A place in the order in which entries are read: by transaction, then by id. */
export type Page = {
  /** The client had the entries that are visible at this snapshot before the first page. */
  base: string;
  /** Transaction and id of the last entry that the client has. */
  xid: string;
  id: string;
};

const version = "1";

export function encodeCursor({ position: { server, snapshot }, atMs, page }: Cursor): string {
  const pageParts = page ? [page.base, page.xid, page.id] : [];
  return Buffer.from([version, server, Math.floor(atMs), snapshot, ...pageParts].join(";")).toString("base64url");
}

/** @returns `undefined` if the text is not a cursor */
export function parseCursor(text: string): Cursor | undefined {
  const bytes = Buffer.from(text, "base64url");
  // The decoder of Node skips invalid characters.
  if (bytes.toString("base64url") !== text) return undefined;
  const [given, server = "", at = "", snapshot = "", base, xid = "", id = "", ...rest] = bytes
    .toString("latin1")
    .split(";");
  const isValid = given === version && isServer(server) && isTime(at) && isSnapshot(snapshot) && rest.length === 0;
  if (!isValid) return undefined;
  const cursor = { position: { server, snapshot }, atMs: Number(at) };
  if (base === undefined) return cursor;
  return isSnapshot(base) && isId(xid) && isId(id) ? { ...cursor, page: { base, xid, id } } : undefined;
}

/** A start time in the format of Postgres, in UTC. */
const isServer = (text: string): boolean => /^[0-9]{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?\+00$/.test(text);

const isTime = (text: string): boolean => /^(?:0|[1-9][0-9]{0,14})$/.test(text);
