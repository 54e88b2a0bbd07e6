/** The types of the store of browser sessions. */
import type { SessionId } from "../../identifiers.ts";
import type { Caller } from "../../principal.ts";

/** A live session of a browser at the pages of this service. */
export type BrowserSession = Caller & {
  id: SessionId;
  /** When the user authenticated. */
  authenticatedAt: Date;
};

export type BrowserSessionStore = {
  /** Finds a live session by its id and the digest of its secret. */
  find(id: SessionId, digest: Buffer): Promise<(BrowserSession & { secondsSinceUse: number }) | undefined>;
  /** Postpones the time at which a live session expires without use. */
  renew(id: SessionId, idleSeconds: number): Promise<void>;
};
