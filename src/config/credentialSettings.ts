/** The settings of credentials: tokens, sessions, passwords and the limits on attempts. */
import { z } from "zod";
import { between, commaSeparated, httpUrl, onOrOff, type Setting } from "./values.ts";

export const credentialSettings = {
  REGISTRATION: {
    fallback: "open",
    critical: true,
    allowed: "open or closed",
    help: "Whether everyone can register. If it is closed, only administrators create users.",
    schema: z.enum(["open", "closed"]),
  },
  AUTHORIZATION_PAGE_URL: {
    fallback: undefined,
    critical: true,
    allowed: "an http or https URL of at most 1024 characters, without fragment",
    help: "Page of your own that replaces the pages for sign-in and consent of authorizations, not those of devices: GET /oauth/authorize sends browsers there with authorization_id, and the page uses /api/authorizations/{id}.",
    schema: z
      .string()
      .refine((value) => {
        const url = httpUrl(value);
        return url !== undefined && value.length <= 1_024 && url.href.length <= 1_024 && !value.includes("#");
      })
      .transform((value) => new URL(value).href),
  },
  SIGNING_ALG: {
    fallback: undefined,
    allowed: "ES256, EdDSA or RS256",
    help: "Algorithm of the signing keys: ES256, EdDSA or RS256. Without it, a new database starts with ES256, and an existing one keeps its algorithm. A change takes effect six minutes after the first instance has started with it. Set it only after every instance runs a version that has this setting.",
    schema: z.enum(["ES256", "EdDSA", "RS256"]),
  },
  KEY_ROTATION_DAYS: {
    fallback: "30",
    ...between(1, 365),
    help: "Days after which a signing key is rotated.",
  },
  TOKEN_TTL_SECONDS: {
    fallback: "600",
    ...between(1, 86_400),
    help: "Lifetime of a token, in seconds.",
  },
  SESSION_IDLE_DAYS: {
    fallback: "14",
    ...between(1, 365),
    help: "Days without a refresh after which a session ends.",
  },
  SESSION_LIFETIME_DAYS: {
    fallback: "90",
    ...between(1, 3650),
    help: "Maximum lifetime of a session, in days.",
  },
  REFRESH_GRACE_SECONDS: {
    fallback: "10",
    ...between(0, 300),
    help: "Seconds during which a used refresh token may be sent again and returns the same new refresh token.",
  },
  SESSIONS_PER_USER: {
    fallback: "100",
    ...between(1, 10_000),
    help: "Maximum number of sessions of a user. A new one ends the oldest.",
  },
  DEVICE_CODE_SECONDS: {
    fallback: "600",
    ...between(60, 1_800),
    help: "Seconds in which a user can enter the code of a device.",
  },
  AUDIT_RETENTION_DAYS: {
    fallback: "365",
    ...between(1, 3_650),
    help: "Days for which audit events are kept in the database. The log is not affected.",
  },
  API_KEYS_PER_USER: {
    fallback: "50",
    ...between(1, 10_000),
    help: "Maximum number of API keys of a user, expired ones included.",
  },
  REVOCATION_STALENESS_SECONDS: {
    fallback: "5",
    ...between(2, 300),
    help: "Seconds during which tokens are still accepted if the revocation list cannot be read from the database.",
  },
  PASSWORD_MIN_LENGTH: {
    fallback: "15",
    ...between(8, 64),
    help: "Minimum length of a new password, in code points. NIST SP 800-63B-4 requires 15 if the password is the only factor.",
  },
  PASSWORD_BLOCKLIST: {
    fallback: "on",
    ...onOrOff,
    help: "Reject common and predictable passwords.",
  },
  PASSWORD_CONTEXT_WORDS: {
    fallback: undefined,
    allowed: "words of 3 to 64 characters separated by commas, such as acme,rocket",
    help: "Names of your service, site and company, separated by commas. Passwords based on them are rejected. The name Latchkey and the host name of PUBLIC_URL are always included.",
    schema: commaSeparated((item) => item.length >= 3 && item.length <= 64),
  },
  ARGON2_MEMORY_KIB: {
    fallback: "19456",
    ...between(7168, 1_048_576),
    help: "Memory of a password hash (argon2id), in KiB. OWASP's minimum is 19456 with 2 passes, or 7168 with 5 passes.",
  },
  ARGON2_PASSES: {
    fallback: "2",
    ...between(1, 20),
    help: "Passes of a password hash over its memory.",
  },
  THROTTLE: {
    fallback: "on",
    ...onOrOff,
    help: "Rate-limit sign-in attempts and registrations. Turn it off only for benchmarks and tests: passwords can then be guessed without limit.",
  },
  THROTTLE_ACCOUNT_ADDRESS: {
    fallback: "5",
    ...between(1, 1_000_000),
    help: "Wrong passwords from one address for one account in 15 minutes. An IPv6 /64 counts as one address; a /56 may send 1.5 times as many, a /48 twice as many.",
  },
  THROTTLE_ACCOUNT: {
    fallback: "50",
    ...between(1, 1_000_000),
    help: "Wrong passwords for one account in 15 minutes from all unfamiliar networks together, and as many from all familiar networks together.",
  },
  THROTTLE_ADDRESS: {
    fallback: "50",
    ...between(1, 1_000_000),
    help: "Wrong passwords from one address in 15 minutes, for all accounts. The last fifth is reserved for accounts to which the address is familiar. IPv6 networks as above.",
  },
  THROTTLE_CONSECUTIVE: {
    fallback: "100",
    ...between(1, 1_000_000),
    help: "Consecutive wrong passwords for one account, without a right one in between. The last fifth is reserved for familiar networks. Reset 30 days after the last one. NIST SP 800-63B-4 requires 100 or fewer.",
  },
  THROTTLE_REGISTRATIONS: {
    fallback: "30",
    ...between(1, 1_000_000),
    help: "Registrations from one address in 15 minutes. IPv6 networks as above.",
  },
} as const satisfies Record<string, Setting>;
