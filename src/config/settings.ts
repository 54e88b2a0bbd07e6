/** Every setting: its default, what is allowed, its help and its schema. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import proxyAddr from "proxy-addr";
import { z } from "zod";
import { faultOfDatabaseUrl } from "./databaseUrl.ts";
import {
  between,
  commaSeparated,
  hostName,
  httpUrl,
  onOrOff,
  type Setting,
  secretKey,
  secretKeyAllowed,
  wholeNumber,
} from "./values.ts";

const mostWorkers = 64;

export const settings = {
  HOST: {
    fallback: "127.0.0.1",
    allowed: "an IP address or a host name",
    help: "Address to listen on. 0.0.0.0 or :: for every interface.",
    schema: hostName,
  },
  PORT: {
    fallback: "8080",
    ...between(0, 65_535),
    help: "Port to listen on; 0 picks a free one.",
  },
  TLS_CERT: {
    fallback: undefined,
    critical: true,
    allowed: "the path of a PEM file, together with TLS_KEY",
    help: "The certificate, followed by those between it and the root. With it and TLS_KEY the service speaks HTTPS. Read again when it changes.",
    schema: z.string(),
  },
  TLS_KEY: {
    fallback: undefined,
    critical: true,
    allowed: "the path of a PEM file, together with TLS_CERT",
    help: "The key of the certificate, without a passphrase.",
    schema: z.string(),
  },
  WORKERS: {
    fallback: "1",
    allowed: "a whole number from 1 to 64, or auto",
    help: "Processes that serve together, one for each processor core with auto. Each has its own connections to Postgres.",
    schema: z.union([
      z.literal("auto").transform(() => Math.min(availableParallelism(), mostWorkers)),
      wholeNumber(1, mostWorkers),
    ]),
  },
  MAX_CONNECTIONS: {
    fallback: "4096",
    ...between(1, 100_000),
    help: "Connections from clients that may be open at once, shared evenly among WORKERS. Those beyond it are closed as they come.",
  },
  MAX_CONNECTIONS_PER_NETWORK: {
    fallback: undefined,
    ...between(1, 100_000),
    help: "How many of MAX_CONNECTIONS one network may hold: an IPv4 address or an IPv6 /64 (a /56 half as many again, a /48 twice as many). Shared evenly among WORKERS. Without it a quarter, and at least 16. Proxies that TRUST_PROXY names are not limited by it.",
  },
  HSTS_MAX_AGE_SECONDS: {
    fallback: "31536000",
    allowed: "a whole number from 0 to 63072000, or off",
    help: "How long browsers use HTTPS alone, in seconds (Strict-Transport-Security). 0 ends that; off sends no such header. Sent over TLS only: with TLS_CERT, or where a proxy that TRUST_PROXY names sends X-Forwarded-Proto: https.",
    schema: z.union([z.literal("off"), wholeNumber(0, 63_072_000)]),
  },
  HSTS_INCLUDE_SUBDOMAINS: {
    fallback: "off",
    ...onOrOff,
    help: "Whether that holds for all subdomains of the service's host, too.",
  },
  SHUTDOWN_GRACE_SECONDS: {
    fallback: "3",
    ...between(0, 60),
    help: "How long SIGTERM lets the service go on, with /readyz saying that it stops, before it listens no more, in seconds.",
  },
  PUBLIC_URL: {
    fallback: undefined,
    critical: true,
    allowed:
      "an http or https URL of at most 512 characters, without query, fragment, empty segments or a slash at its end",
    help: "Where clients reach the service: the issuer and audience of tokens (without it `http://127.0.0.1:8080`, on every port), and the server in the contract. Tokens issued under another value are refused.",
    schema: z.string().refine((value) => {
      const url = httpUrl(value);
      // As the URL standard writes it, so that it can stand in a header and be compared.
      return (
        url !== undefined &&
        value.length <= 512 &&
        [value, `${value}/`].includes(url.href) &&
        !/[?#@]|[^:]\/\/|\/$/.test(value)
      );
    }),
  },
  DATABASE_URL: {
    fallback: undefined,
    critical: true,
    allowed: "a URL such as postgres://user:password@host:5432/database",
    help: "A Postgres, version 14 or newer. Without it the embedded Postgres keeps its data under DATA_DIR.",
    secret: true,
    schema: z.string().superRefine((value, context) => {
      const fault = faultOfDatabaseUrl(value);
      if (fault !== undefined)
        context.addIssue({ code: "custom", message: fault, params: { isSentence: fault !== "" } });
    }),
  },
  DATABASE_POOL_MAX: {
    fallback: "10",
    ...between(1, 1000),
    help: "Connections to Postgres that one process may hold for requests. It has four more to follow changes, and for moments one to look for abandoned queries.",
  },
  DATA_DIR: {
    fallback: "./data",
    allowed: "a folder",
    help: "Where the embedded Postgres and its secret key are kept. Unused with DATABASE_URL.",
    schema: z.string().transform((value) => resolve(value)),
  },
  SECRET_KEY: {
    fallback: undefined,
    critical: true,
    allowed: secretKeyAllowed,
    help: "Encrypts the signing keys in the database, and derives refresh tokens. Required with DATABASE_URL; otherwise made once and kept under DATA_DIR. Keep it: without it the signing keys cannot be read, and every session ends.",
    secret: true,
    schema: secretKey,
  },
  SECRET_KEY_PREVIOUS: {
    fallback: undefined,
    critical: true,
    allowed: "the SECRET_KEY from before the present one",
    help: "While SECRET_KEY is being changed: what was sealed under this one is opened, and sealed under the new one. Keep it for SESSION_IDLE_DAYS: sessions that were not refreshed meanwhile end with it.",
    secret: true,
    schema: secretKey,
  },
  KEY_ROTATION_DAYS: {
    fallback: "30",
    ...between(1, 365),
    help: "For how many days a signing key signs.",
  },
  TOKEN_TTL_SECONDS: {
    fallback: "600",
    ...between(1, 86_400),
    help: "How long a token works, in seconds.",
  },
  SESSION_IDLE_DAYS: {
    fallback: "14",
    ...between(1, 365),
    help: "After how many days without a refresh a session ends.",
  },
  SESSION_LIFETIME_DAYS: {
    fallback: "90",
    ...between(1, 3650),
    help: "After how many days a session ends, however often it is refreshed.",
  },
  REFRESH_GRACE_SECONDS: {
    fallback: "10",
    ...between(0, 300),
    help: "How long a used refresh token may be asked again for the same successor, in seconds.",
  },
  SESSIONS_PER_USER: {
    fallback: "100",
    ...between(1, 10_000),
    help: "How many sessions a user may have at once. One more ends the oldest.",
  },
  REVOCATION_STALENESS_SECONDS: {
    fallback: "5",
    ...between(2, 300),
    help: "How long tokens are still accepted while the database is away and revocations cannot be followed, in seconds.",
  },
  PASSWORD_MIN_LENGTH: {
    fallback: "15",
    ...between(8, 64),
    help: "Minimum length of a new password, in code points. NIST SP 800-63B-4 asks for 15 where the password is the only factor.",
  },
  PASSWORD_BLOCKLIST: {
    fallback: "on",
    ...onOrOff,
    help: "Whether common and predictable passwords are refused.",
  },
  PASSWORD_CONTEXT_WORDS: {
    fallback: undefined,
    allowed: "words of 3 to 64 characters separated by commas, such as acme,rocket",
    help: "The names of your service, site and company, which people put into passwords. Latchkey's own name and the host name of PUBLIC_URL are known.",
    schema: commaSeparated((item) => item.length >= 3 && item.length <= 64),
  },
  ARGON2_MEMORY_KIB: {
    fallback: "19456",
    ...between(7168, 1_048_576),
    help: "Memory of one password hash, in KiB (argon2id). OWASP's minimum is 19456 with 2 passes, or 7168 with 5.",
  },
  ARGON2_PASSES: {
    fallback: "2",
    ...between(1, 20),
    help: "Passes of one password hash over its memory.",
  },
  THROTTLE: {
    fallback: "on",
    ...onOrOff,
    help: "Whether sign-in attempts and registrations are rate limited. Off is for benchmarks: passwords can then be guessed without limit.",
  },
  THROTTLE_ACCOUNT_ADDRESS: {
    fallback: "5",
    ...between(1, 1_000_000),
    help: "Wrong passwords that one address may send for one account in 15 minutes. A /64 of IPv6 counts as an address; a /56 may send 1.5 times as many, a /48 twice as many.",
  },
  THROTTLE_ACCOUNT: {
    fallback: "50",
    ...between(1, 1_000_000),
    help: "Wrong passwords for one account in 15 minutes from all unfamiliar networks together, and as many from its familiar ones.",
  },
  THROTTLE_ADDRESS: {
    fallback: "50",
    ...between(1, 1_000_000),
    help: "Wrong passwords that one address may send in 15 minutes, whatever the accounts. The last fifth is kept for accounts to which the address is familiar. Networks of IPv6 as above.",
  },
  THROTTLE_CONSECUTIVE: {
    fallback: "100",
    ...between(1, 1_000_000),
    help: "Wrong passwords in a row for one account, without a right one in between. The last fifth is kept for familiar networks. Forgotten 30 days after the last one. NIST SP 800-63B-4 asks for 100 or fewer.",
  },
  THROTTLE_REGISTRATIONS: {
    fallback: "30",
    ...between(1, 1_000_000),
    help: "Registrations that one address may try in 15 minutes. Networks of IPv6 as above.",
  },
  CONTRACT_CHECK: {
    fallback: "report",
    allowed: "report, enforce or off",
    help: "Whether responses are validated against the contract before they are sent: a sample, and a log line for an invalid one (report); all, and a 500 instead of an invalid one (enforce); or none (off).",
    schema: z.enum(["report", "enforce", "off"]),
  },
  CONTRACT_CHECK_PERCENT: {
    fallback: "1",
    ...between(1, 100),
    help: "Percentage of responses that are validated where CONTRACT_CHECK is report.",
  },
  DOCUMENTATION: {
    fallback: "on",
    ...onOrOff,
    help: "Whether the service serves its documentation: /docs, the contract and the page of each problem. Where it is off, they are 404s.",
  },
  LOG_LEVEL: {
    fallback: "info",
    allowed: "fatal, error, warn, info, debug, trace or silent",
    help: "Minimum log level.",
    schema: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]),
  },
  METRICS_PORT: {
    fallback: undefined,
    ...between(0, 65_535),
    help: "Port, on METRICS_HOST, where Prometheus reads /metrics; 0 picks a free one. Without it there are none.",
  },
  METRICS_HOST: {
    fallback: "127.0.0.1",
    allowed: "an IP address or a host name",
    help: "Address on which METRICS_PORT listens. There is no password: choose one that only Prometheus can reach.",
    schema: hostName,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    fallback: undefined,
    allowed: "an http or https URL without a user, query or fragment",
    help: "The OpenTelemetry collector that gets traces, such as http://localhost:4318. None are made without it. The SDK reads the other OTEL_ variables itself.",
    secret: true, // some vendors want a key in its path
    schema: z.string().refine((value) => httpUrl(value) && !/[?#@\s]/.test(value)),
  },
  TRUST_PROXY: {
    fallback: undefined,
    critical: true,
    allowed: "a number of proxies, or addresses and networks separated by commas, such as loopback,10.0.0.0/8",
    help: "Which proxies may say, in X-Forwarded-For, where a request comes from, and in X-Forwarded-Proto, whether it came over TLS. Nobody is trusted without it.",
    schema: z.string().transform((value, context) => {
      if (/^\d{1,2}$/.test(value)) return Number(value);
      const networks = value.split(",").map((item) => item.trim());
      try {
        proxyAddr.compile(networks);
        return networks;
      } catch {
        context.addIssue("not a network");
        return z.NEVER;
      }
    }),
  },
  CORS_ORIGINS: {
    fallback: undefined,
    critical: true,
    allowed: "origins separated by commas, such as https://app.example.com, or *",
    help: "Origins of web pages that may call the API. With *, any page may, but not with what a browser keeps. None without it.",
    schema: commaSeparated((item) => item === "*" || httpUrl(item)?.origin === item),
  },
} as const satisfies Record<string, Setting>;
