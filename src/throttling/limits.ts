import { Problem } from "../problems/problems.ts";

/** The length of a counting window. Windows begin at the same time for all clients. */
export const windowSeconds = 900;
/** How long consecutive failures are remembered after the last of them. */
export const failuresExpireSeconds = 30 * 86_400;
/** How many known networks of an account are remembered. */
export const maxKnownNetworks = 10;

/** The limits that are settings. */
type ConfiguredLimit =
  | "account-address"
  | "account"
  | "address"
  | "registrations"
  | "consecutive"
  | "clients"
  | "client-registrations";
export type Limit = ConfiguredLimit | "user-codes" | "device-codes";
/** Attempts in a window; for `consecutive`, wrong passwords in a row. */
export type Limits = Record<ConfiguredLimit, number>;

/** What a limit counts, if not wrong passwords. */
const counted: Partial<Record<Limit, string>> = {
  registrations: "registrations",
  clients: "wrong client credentials",
  "client-registrations": "new clients",
  "user-codes": "wrong codes",
  "device-codes": "device authorizations",
};

/**
 * A limit without its reserve of one fifth. Only attempts from networks that are known to the account can use the reserve. All
 * attempts together never exceed the limit.
 */
export const withoutReserve = (limit: number): number => limit - Math.floor(limit / 5);

/**
 * The limit of one of a client's networks. Wider networks have higher limits.
 * @param width 0 for an IPv4 address or an IPv6 /64, 1 for the /56, 2 for the /48
 */
export const limitOfNetwork = (limit: number, width: number): number => Math.ceil(limit * (1 + width / 2));

/** The problem `too-many-requests`, with the limit that was reached. */
export class Throttled extends Problem {
  readonly limit: Limit;

  /** @param seconds the time until the limit allows another attempt */
  constructor(limit: Limit, quota: number, seconds: number) {
    super("too-many-requests", {
      detail: `Too many ${counted[limit] ?? "wrong passwords"}. Try again in ${seconds} seconds.`,
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
