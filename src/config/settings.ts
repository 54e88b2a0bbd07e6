/** All settings, with those of credentialSettings.ts and pageSettings.ts: their defaults, what is allowed, their help and their schemas. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import proxyAddr from "proxy-addr";
import { z } from "zod";
import { credentialSettings } from "./credentialSettings.ts";
import { faultOfDatabaseUrl } from "./databaseUrl.ts";
import { pageSettings } from "./pageSettings.ts";
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
    help: "Address to listen on. 0.0.0.0 or :: listens on every interface.",
    schema: hostName,
  },
  PORT: {
    fallback: "8080",
    ...between(0, 65_535),
    help: "Port to listen on. 0 chooses a free port.",
  },
  TLS_CERT: {
    fallback: undefined,
    critical: true,
    allowed: "the path of a PEM file, together with TLS_KEY",
    help: "Path of the certificate, followed by its intermediate certificates, in PEM. With TLS_KEY the service speaks HTTPS. Reloaded when the file changes.",
    schema: z.string(),
  },
  TLS_KEY: {
    fallback: undefined,
    critical: true,
    allowed: "the path of a PEM file, together with TLS_CERT",
    help: "Path of the private key of the certificate, without a passphrase.",
    schema: z.string(),
  },
  WORKERS: {
    fallback: "1",
    allowed: "a whole number from 1 to 64, or auto",
    help: "Number of processes that share the port. auto starts one per processor core. Each process has its own connections to Postgres.",
    schema: z.union([
      z.literal("auto").transform(() => Math.min(availableParallelism(), mostWorkers)),
      wholeNumber(1, mostWorkers),
    ]),
  },
  MAX_CONNECTIONS: {
    fallback: "4096",
    ...between(1, 100_000),
    help: "Maximum number of open client connections, divided evenly among WORKERS. Further connections are closed.",
  },
  MAX_CONNECTIONS_PER_NETWORK: {
    fallback: undefined,
    ...between(1, 100_000),
    help: "Maximum number of connections of one network, divided evenly among WORKERS. A network is an IPv4 address or an IPv6 /64; a /56 may have 1.5 times as many, a /48 twice as many. Default: a quarter of MAX_CONNECTIONS, at least 16. Proxies in TRUST_PROXY are exempt.",
  },
  HSTS_MAX_AGE_SECONDS: {
    fallback: "31536000",
    allowed: "a whole number from 0 to 63072000, or off",
    help: "max-age of Strict-Transport-Security, in seconds. 0 tells browsers to forget it. off omits the header. The header is sent only over TLS: with TLS_CERT, or if a proxy in TRUST_PROXY sends X-Forwarded-Proto: https.",
    schema: z.union([z.literal("off"), wholeNumber(0, 63_072_000)]),
  },
  HSTS_INCLUDE_SUBDOMAINS: {
    fallback: "off",
    ...onOrOff,
    help: "Add includeSubDomains to Strict-Transport-Security.",
  },
  SHUTDOWN_GRACE_SECONDS: {
    fallback: "3",
    ...between(0, 60),
    help: "Seconds between SIGTERM and the end of listening. During this time /readyz fails and requests are still served.",
  },
  PUBLIC_URL: {
    fallback: undefined,
    critical: true,
    allowed:
      "an http or https URL of at most 512 characters, without query, fragment, empty segments or a slash at its end",
    help: "URL at which clients reach the service. It is the issuer and audience of tokens (default: http://127.0.0.1:8080, on every port) and the server in the contract. Tokens with another issuer are rejected.",
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
    help: "URL of a Postgres database, version 14 or later. Without it, the embedded Postgres stores its data in DATA_DIR.",
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
    help: "Maximum number of connections to Postgres for the requests of one process. Each process has four more for notifications and background work, and briefly a fifth.",
  },
  DATA_DIR: {
    fallback: "./data",
    allowed: "a folder",
    help: "Folder of the embedded Postgres and its secret key. Not used with DATABASE_URL.",
    schema: z.string().transform((value) => resolve(value)),
  },
  SECRET_KEY: {
    fallback: undefined,
    critical: true,
    allowed: secretKeyAllowed,
    help: "Encrypts the signing keys in the database, and derives refresh tokens. Required with DATABASE_URL. Otherwise created once and stored in DATA_DIR. Keep it: without it the signing keys cannot be decrypted, and every session ends.",
    secret: true,
    schema: secretKey,
  },
  SECRET_KEY_PREVIOUS: {
    fallback: undefined,
    critical: true,
    allowed: "the previous SECRET_KEY",
    help: "The old SECRET_KEY while it is being changed. Keep it for SESSION_IDLE_DAYS: sessions that were not refreshed before it is removed end.",
    secret: true,
    schema: secretKey,
  },
  ...credentialSettings,
  CONTRACT_CHECK: {
    fallback: "report",
    allowed: "report, enforce or off",
    help: "Validate responses against the contract. report validates a sample and logs invalid responses. enforce validates all and sends a 500 instead of an invalid response. off validates none.",
    schema: z.enum(["report", "enforce", "off"]),
  },
  CONTRACT_CHECK_PERCENT: {
    fallback: "1",
    ...between(1, 100),
    help: "Percentage of responses that report validates.",
  },
  DOCUMENTATION: {
    fallback: "on",
    ...onOrOff,
    help: "Serve /docs, the contract and the problem pages. If it is off, they return a 404.",
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
    help: "Port for Prometheus at /metrics, on METRICS_HOST. 0 chooses a free port. Without it, metrics are off.",
  },
  METRICS_HOST: {
    fallback: "127.0.0.1",
    allowed: "an IP address or a host name",
    help: "Address for METRICS_PORT. There is no password: choose an address that only Prometheus can reach.",
    schema: hostName,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    fallback: undefined,
    allowed: "an http or https URL without a user, query or fragment",
    help: "URL of an OpenTelemetry collector, such as http://localhost:4318. Without it, tracing is off. The OpenTelemetry SDK reads the other OTEL_ variables.",
    secret: true, // some vendors require a key in the path
    schema: z.string().refine((value) => httpUrl(value) && !/[?#@\s]/.test(value)),
  },
  CLIENT_REGISTRATION: {
    fallback: "off",
    critical: true,
    ...onOrOff,
    help: "Let programs register themselves as clients of OAuth (POST /oauth/register, RFC 7591).",
  },
  CLIENT_ID_METADATA: {
    fallback: "off",
    critical: true,
    ...onOrOff,
    help: "Accept the URL of a document about a client as its client_id. The service fetches the document.",
  },
  CLIENT_REGISTRATION_SCOPES: {
    fallback: "openid,profile,offline_access",
    critical: true,
    allowed: "scopes separated by commas",
    help: "Scopes of clients that no administrator has registered (CLIENT_REGISTRATION, CLIENT_ID_METADATA), separated by commas.",
    schema: commaSeparated((item) => /^[!#-[\]-~]{1,64}$/.test(item)),
  },
  CLIENT_REGISTRATION_AUDIENCES: {
    fallback: undefined,
    critical: true,
    allowed: "audiences of registered APIs separated by commas",
    help: "APIs for which such clients may get tokens, by their audiences, separated by commas. By default none.",
    schema: commaSeparated((item) => item !== "" && item.length <= 255),
  },
  ...pageSettings,
  TRUST_PROXY: {
    fallback: undefined,
    critical: true,
    allowed: "a number of proxies, or addresses and networks separated by commas, such as loopback,10.0.0.0/8",
    help: "Proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted: a number of hops, or addresses and networks separated by commas, such as loopback,10.0.0.0/8. By default none is trusted.",
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
    help: "Origins of web pages that may call the API, separated by commas, such as https://app.example.com. * allows every page, but not with credentials that the browser stores. By default none is allowed.",
    schema: commaSeparated((item) => item === "*" || httpUrl(item)?.origin === item),
  },
} as const satisfies Record<string, Setting>;
