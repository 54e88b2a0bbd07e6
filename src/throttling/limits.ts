import { Problem } from "../problems/problems.ts";

/** The length of a counting window. Windows begin at the same moment for all clients. */
export const windowSeconds = 900;
/** How long consecutive failures are remembered after the last of them. */
export const failuresExpireSeconds = 30 * 86_400;
/** How many known networks of an account are remembered. */
export const maxKnownNetworks = 10;

export type Limit = "account-address" | "account" | "address" | "registrations" | "consecutive";
/** Attempts in a window; for `consecutive`, wrong passwords in a row. */
export type Limits = Record<Limit, number>;

/**
 * A limit without its reserve, which is a fifth. The reserve is for attempts from networks that are known to the account:
 * others cannot use it up. Both together never exceed the limit.
 */
export const withoutReserve = (limit: number): number => limit - Math.floor(limit / 5);

/** The limit of the n-th network of a client, from the narrowest on: an IPv4 address or an IPv6 /64, then the /56 and the /48. */
export const limitOfNetwork = (limit: number, width: number): number => Math.ceil(limit * (1 + width / 2));

/** The problem `too-many-requests`, with the limit that was reached. */
export class Throttled extends Problem {
  readonly limit: Limit;

  /** @param seconds until the limit allows another attempt */
  constructor(limit: Limit, quota: number, seconds: number) {
    super("too-many-requests", {
      detail: `Too many ${limit === "registrations" ? limit : "wrong passwords"}. Try again in ${seconds} seconds.`,
      rateLimit: {
        name: limit,
        quota,
        windowSeconds: limit === "consecutive" ? failuresExpireSeconds : windowSeconds,
        retryAfterSeconds: seconds,
      },
    });
    this.limit = limit;
  }
}
