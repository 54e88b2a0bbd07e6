import type { SentRequest } from "./curl.ts";

/** Something is not as it must be. */
export class Finding extends Error {
  readonly sentRequests: SentRequest[];
  constructor(what: string, sentRequests: SentRequest[], cause?: unknown) {
    super(what, { cause });
    this.sentRequests = sentRequests;
  }
}
