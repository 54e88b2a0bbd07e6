import type { Exchange } from "./curl.ts";

/** Something is not as it must be. */
export class Finding extends Error {
  readonly exchanges: Exchange[];
  constructor(what: string, exchanges: Exchange[], cause?: unknown) {
    super(what, { cause });
    this.exchanges = exchanges;
  }
}
