import { Problem } from "../problems/problems.ts";

/** What is counted in windows of this length. Windows begin at the same moment for everybody. */
export const windowSeconds = 900;
/** How long failures in a row are remembered after the last of them. */
export const failuresExpireSeconds = 30 * 86_400;
/** How many networks of an account are remembered. */
export const familiarNetworks = 10;

export type Limit = "account-address" | "account" | "address" | "registrations" | "consecutive";
/** How many there may be: in a window, but for `consecutive`. */
export type Limits = Record<Limit, number>;

/**
 * What is kept of a limit for networks that are familiar to the account: one in five. Strangers cannot use it up, and
 * all together, strangers and familiar networks, never exceed the limit.
 */
export const withoutReserve = (limit: number): number => limit - Math.floor(limit / 5);

/** The limits of a client's networks, which are one, or the /64, the /56 and the /48 of an IPv6 address. */
export const limitOfWidth = (limit: number, width: number): number => Math.ceil(limit * (1 + width / 2));

/** The problem `too-many-requests`, with what the client may know of the limit (draft-ietf-httpapi-ratelimit-headers). */
export class Throttled extends Problem {
  readonly limit: Limit;

  /** @param seconds after which it makes sense to try again */
  constructor(limit: Limit, quota: number, seconds: number) {
    const window = limit === "consecutive" ? failuresExpireSeconds : windowSeconds;
    super("too-many-requests", {
      detail: `Too many ${limit === "registrations" ? limit : "wrong passwords"}. Try again in ${seconds} seconds.`,
      headers: {
        "Retry-After": String(seconds),
        "RateLimit-Policy": `"${limit}";q=${quota};w=${window}`,
        RateLimit: `"${limit}";r=0;t=${seconds}`,
      },
    });
    this.limit = limit;
  }
}
