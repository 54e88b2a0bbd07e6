import type { SentRequest } from "./curl.ts";

/** A wrong response, with the requests that led to it. */
export class Finding extends Error {
  readonly sentRequests: SentRequest[];
  constructor(what: string, sentRequests: SentRequest[], cause?: unknown) {
    super(what, { cause });
    this.sentRequests = sentRequests;
  }
}
