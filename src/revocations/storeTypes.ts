/** The types of the store of the revocation list. */
import type { RevocationSubject, UserId } from "../identifiers.ts";
import type { Page } from "./cursor.ts";
import type { Position } from "./position.ts";

/**
 * Revokes the tokens of a subject (a `jti`, session, user, `kid` or `everybody`) with an epoch below `minimumEpoch`, and the tokens
 * that contain a lower version of the subject in `epochs`.
 */
export type Revocation = {
  subject: RevocationSubject;
  minimumEpoch: number;
  /** When the last token that the entry revokes has expired, and the entry can be removed. */
  expiresAt: Date;
};

/** An entry, with its place in the order in which entries are read. */
export type StoredRevocation = Revocation & { xid: string; id: string };

/** A part of a read of the list, with the position at which the read will end. */
export type ReadPart = { entries: readonly StoredRevocation[]; target: Position; isLast: boolean };

export type RevocationStore = {
  /** Reads all entries that have not expired, in pages. @returns a position for `readSince` */
  readAll(onPage: (entries: Revocation[]) => void): Promise<Position>;
  /**
   * Reads, in parts, the entries that were not visible at the position.
   * @returns the next position; `undefined` if the server is not the one that the position belongs to
   */
  readSince(position: Position, onPart: (part: ReadPart) => void): Promise<Position | undefined>;
  /**
   * Whether the server of the position can still commit. A standby, or a primary that was demoted or cut off, cannot, and does
   * not see what is revoked elsewhere.
   */
  isCurrent(position: Position): Promise<boolean>;
  /** Stores the entry of a token, which its holder revokes, and the audit event. @param userId `null` for that of a client */
  insert(entry: Revocation, userId: UserId | null): Promise<void>;
};

export type FeedStore = {
  /**
   * Reads a page of the entries that were not visible at `page.base`. A page with fewer than `limit` entries is the last.
   * @returns also the start time of the server
   */
  readPage(page: Page, limit: number): Promise<{ server: string; entries: StoredRevocation[] }>;
};
