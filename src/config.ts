/**
 * The settings: the only place that reads the environment. Every setting is described here once;
 * `--help`, the README's table (checked by a test) and the messages of a refused start come from
 * these descriptions.
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import proxyAddr from "proxy-addr";
import { z } from "zod";

type Setting = {
  /** What holds when the setting is absent; `undefined` where absence has a meaning of its own. */
  fallback: string | undefined;
  /** What a message may say is allowed. Ends a sentence, so without a full stop. */
  allowed: string;
  help: string;
  /** A secret is never repeated in a message. */
  secret?: true;
  schema: z.ZodType<unknown, string>;
};

const wholeNumber = (minimum: number, maximum: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.number().int().min(minimum).max(maximum));

const httpUrl = (value: string) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url && (url.protocol === "http:" || url.protocol === "https:") ? url : undefined;
};

const hostName = z.string().regex(/^[\w.:-]+$/);

const commaSeparated = (isAllowed: (item: string) => boolean) =>
  z
    .string()
    .transform((value) => value.split(",").map((item) => item.trim()))
    .refine((items) => items.every(isAllowed));

const mostWorkers = 64;

const settings = {
  HOST: {
    fallback: "127.0.0.1",
    allowed: "an IP address or a host name",
    help: "Address to listen on. 0.0.0.0 or :: for every interface.",
    schema: hostName,
  },
  PORT: {
    fallback: "8080",
    allowed: "a whole number from 0 to 65535",
    help: "Port to listen on; 0 picks a free one.",
    schema: wholeNumber(0, 65_535),
  },
  TLS_CERT: {
    fallback: undefined,
    allowed: "the path of a PEM file, together with TLS_KEY",
    help: "The certificate, followed by those between it and the root. With it and TLS_KEY the service speaks HTTPS. Read again when it changes.",
    schema: z.string(),
  },
  TLS_KEY: {
    fallback: undefined,
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
    allowed: "a whole number from 1 to 100000",
    help: "Connections from clients that may be open at once, shared evenly among WORKERS. Those beyond it are closed as they come.",
    schema: wholeNumber(1, 100_000),
  },
  MAX_CONNECTIONS_PER_NETWORK: {
    fallback: undefined,
    allowed: "a whole number from 1 to 100000",
    help: "How many of MAX_CONNECTIONS one network may hold: an IPv4 address or an IPv6 /64 (a /56 half as many again, a /48 twice as many). Shared evenly among WORKERS. Without it a quarter, and at least 16. Proxies that TRUST_PROXY names are not limited by it.",
    schema: wholeNumber(1, 100_000),
  },
  HSTS_MAX_AGE_SECONDS: {
    fallback: "31536000",
    allowed: "a whole number from 0 to 63072000, or off",
    help: "How long browsers use HTTPS alone, in seconds (Strict-Transport-Security). 0 ends that; off sends no such header. Sent over TLS only: with TLS_CERT, or where a proxy that TRUST_PROXY names sends X-Forwarded-Proto: https.",
    schema: z.union([z.literal("off"), wholeNumber(0, 63_072_000)]),
  },
  HSTS_INCLUDE_SUBDOMAINS: {
    fallback: "off",
    allowed: "on or off",
    help: "Whether that holds for all subdomains of the service's host, too.",
    schema: z.enum(["on", "off"]).transform((value) => value === "on"),
  },
  SHUTDOWN_GRACE_SECONDS: {
    fallback: "3",
    allowed: "a whole number from 0 to 60",
    help: "How long SIGTERM lets the service go on, with /readyz saying that it stops, before it listens no more, in seconds.",
    schema: wholeNumber(0, 60),
  },
  PUBLIC_URL: {
    fallback: undefined,
    allowed: "an http or https URL without query, fragment or a slash at its end",
    help: "Where clients reach the service: the issuer and audience of tokens (without it `http://127.0.0.1:8080`, on every port), and the server in the contract. Tokens issued under another value are refused.",
    schema: z.string().refine((value) => {
      const url = httpUrl(value);
      // As the URL standard writes it, so that it can stand in a header and be compared.
      return url !== undefined && [value, `${value}/`].includes(url.href) && !/[?#@]|\/$/.test(value);
    }),
  },
  DATABASE_URL: {
    fallback: undefined,
    allowed: "a URL such as postgres://user:password@host:5432/database",
    help: "A Postgres, version 14 or newer. Without it the embedded Postgres keeps its data under DATA_DIR.",
    secret: true,
    schema: z.string().refine((value) => URL.canParse(value) && /^postgres(ql)?:$/.test(new URL(value).protocol)),
  },
  DATABASE_POOL_MAX: {
    fallback: "10",
    allowed: "a whole number from 1 to 1000",
    help: "Connections to Postgres that one process may hold for requests. It has three more to follow changes.",
    schema: wholeNumber(1, 1000),
  },
  DATA_DIR: {
    fallback: "./data",
    allowed: "a folder",
    help: "Where the embedded Postgres and its secret key are kept. Unused with DATABASE_URL.",
    schema: z.string().transform((value) => resolve(value)),
  },
  SECRET_KEY: {
    fallback: undefined,
    allowed:
      "at least 32 characters made by chance; make one with: node -e \"console.log(require('node:crypto').randomBytes(32).toString('base64'))\"",
    help: "Encrypts the signing keys in the database, and derives refresh tokens. Required with DATABASE_URL; otherwise made once and kept under DATA_DIR. Keep it: without it the signing keys cannot be read, and every session ends.",
    secret: true,
    schema: z.string().refine((value) => value.length >= 32 && new Set(value).size >= 10),
  },
  SECRET_KEY_PREVIOUS: {
    fallback: undefined,
    allowed: "the SECRET_KEY from before the present one",
    help: "While SECRET_KEY is being changed: what was sealed under this one is opened, and sealed under the new one. Keep it for SESSION_IDLE_DAYS: sessions that were not refreshed meanwhile end with it.",
    secret: true,
    schema: z.string().refine((value) => value.length >= 32 && new Set(value).size >= 10),
  },
  KEY_ROTATION_DAYS: {
    fallback: "30",
    allowed: "a whole number from 1 to 365",
    help: "After how many days a signing key gets a successor.",
    schema: wholeNumber(1, 365),
  },
  TOKEN_TTL_SECONDS: {
    fallback: "600",
    allowed: "a whole number from 1 to 86400",
    help: "How long a token works, in seconds.",
    schema: wholeNumber(1, 86_400),
  },
  SESSION_IDLE_DAYS: {
    fallback: "14",
    allowed: "a whole number from 1 to 365",
    help: "After how many days without a refresh a session ends.",
    schema: wholeNumber(1, 365),
  },
  SESSION_LIFETIME_DAYS: {
    fallback: "90",
    allowed: "a whole number from 1 to 3650",
    help: "After how many days a session ends, however often it is refreshed.",
    schema: wholeNumber(1, 3650),
  },
  REFRESH_GRACE_SECONDS: {
    fallback: "10",
    allowed: "a whole number from 0 to 300",
    help: "How long a used refresh token may be asked again for the same successor, in seconds.",
    schema: wholeNumber(0, 300),
  },
  SESSIONS_PER_USER: {
    fallback: "100",
    allowed: "a whole number from 1 to 10000",
    help: "How many sessions a user may have at once. One more ends the oldest.",
    schema: wholeNumber(1, 10_000),
  },
  REVOCATION_STALENESS_SECONDS: {
    fallback: "5",
    allowed: "a whole number from 2 to 300",
    help: "How long tokens are still accepted while the database is away and revocations cannot be followed, in seconds.",
    schema: wholeNumber(2, 300),
  },
  PASSWORD_MIN_LENGTH: {
    fallback: "15",
    allowed: "a whole number from 8 to 64",
    help: "Minimum length of a new password, in code points. NIST SP 800-63B-4 asks for 15 where the password is the only factor.",
    schema: wholeNumber(8, 64),
  },
  PASSWORD_BLOCKLIST: {
    fallback: "on",
    allowed: "on or off",
    help: "Whether common and predictable passwords are refused.",
    schema: z.enum(["on", "off"]).transform((value) => value === "on"),
  },
  PASSWORD_CONTEXT_WORDS: {
    fallback: undefined,
    allowed: "words of 3 to 64 characters separated by commas, such as acme,rocket",
    help: "The names of your service, site and company, which people put into passwords. Latchkey's own name and the host name of PUBLIC_URL are known.",
    schema: commaSeparated((item) => item.length >= 3 && item.length <= 64),
  },
  ARGON2_MEMORY_KIB: {
    fallback: "19456",
    allowed: "a whole number from 7168 to 1048576",
    help: "Memory of one password hash, in KiB (argon2id). OWASP's minimum is 19456 with 2 passes, or 7168 with 5.",
    schema: wholeNumber(7168, 1_048_576),
  },
  ARGON2_PASSES: {
    fallback: "2",
    allowed: "a whole number from 1 to 20",
    help: "Passes of one password hash over its memory.",
    schema: wholeNumber(1, 20),
  },
  THROTTLE: {
    fallback: "on",
    allowed: "on or off",
    help: "Whether tries are counted and limited. Off is for benchmarks: passwords can then be guessed without end.",
    schema: z.enum(["on", "off"]).transform((value) => value === "on"),
  },
  THROTTLE_ACCOUNT_ADDRESS: {
    fallback: "5",
    allowed: "a whole number from 1 to 1000000",
    help: "Wrong passwords that one address may send for one account in 15 minutes. A /64 of IPv6 counts as an address; a /56 may send 1.5 times as many, a /48 twice as many.",
    schema: wholeNumber(1, 1_000_000),
  },
  THROTTLE_ACCOUNT: {
    fallback: "50",
    allowed: "a whole number from 1 to 1000000",
    help: "Wrong passwords for one account in 15 minutes from all unfamiliar networks together, and as many from its familiar ones.",
    schema: wholeNumber(1, 1_000_000),
  },
  THROTTLE_ADDRESS: {
    fallback: "50",
    allowed: "a whole number from 1 to 1000000",
    help: "Wrong passwords that one address may send in 15 minutes, whatever the accounts. The last fifth is kept for accounts to which the address is familiar. Networks of IPv6 as above.",
    schema: wholeNumber(1, 1_000_000),
  },
  THROTTLE_CONSECUTIVE: {
    fallback: "100",
    allowed: "a whole number from 1 to 1000000",
    help: "Wrong passwords in a row for one account, without a right one in between. The last fifth is kept for familiar networks. Forgotten 30 days after the last one. NIST SP 800-63B-4 asks for 100 or fewer.",
    schema: wholeNumber(1, 1_000_000),
  },
  THROTTLE_REGISTRATIONS: {
    fallback: "30",
    allowed: "a whole number from 1 to 1000000",
    help: "Registrations that one address may try in 15 minutes. Networks of IPv6 as above.",
    schema: wholeNumber(1, 1_000_000),
  },
  CONTRACT_CHECK: {
    fallback: "report",
    allowed: "report, enforce or off",
    help: "Whether answers are held against the contract before they leave: some of them, with a line in the log where one breaks it (report); each, with a 500 in the place of one that breaks it (enforce); or none.",
    schema: z.enum(["report", "enforce", "off"]),
  },
  CONTRACT_CHECK_PERCENT: {
    fallback: "1",
    allowed: "a whole number from 1 to 100",
    help: "How many answers of a hundred are looked at where CONTRACT_CHECK is report.",
    schema: wholeNumber(1, 100),
  },
  DOCUMENTATION: {
    fallback: "on",
    allowed: "on or off",
    help: "Whether the service serves its documentation: /docs, the contract and the page of each problem. Where it is off, they are 404s.",
    schema: z.enum(["on", "off"]).transform((value) => value === "on"),
  },
  LOG_LEVEL: {
    fallback: "info",
    allowed: "fatal, error, warn, info, debug, trace or silent",
    help: "The least important line that is still written.",
    schema: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]),
  },
  METRICS_PORT: {
    fallback: undefined,
    allowed: "a whole number from 0 to 65535",
    help: "Port, on METRICS_HOST, where Prometheus reads /metrics; 0 picks a free one. Without it there are none.",
    schema: wholeNumber(0, 65_535),
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
    allowed: "origins separated by commas, such as https://app.example.com, or *",
    help: "Origins of web pages that may call the API. With *, any page may, but not with what a browser keeps. None without it.",
    schema: commaSeparated((item) => item === "*" || httpUrl(item)?.origin === item),
  },
} as const satisfies Record<string, Setting>;

/** The least of the parameters that OWASP recommends for argon2id: 7168 KiB with 5 passes. */
const leastHashingWork = 7168 * 5;

type SettingName = keyof typeof settings;
type Value<Name extends SettingName> = (typeof settings)[Name] extends { fallback: string }
  ? z.output<(typeof settings)[Name]["schema"]>
  : z.output<(typeof settings)[Name]["schema"]> | undefined;

/** The settings as they were given, checked and converted. */
export type Config = Readonly<{ [Name in SettingName as CamelCase<Name>]: Value<Name> }>;
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<CamelCase<Tail>>}`
  : Lowercase<Name>;

/** The start is refused because of the settings. Its message is for the person who starts. */
export class ConfigError extends Error {}

/** The start is refused for a reason outside of the settings. Its message is for the person who starts. */
export class StartError extends Error {}

/**
 * What to do with the system's error, such as EADDRINUSE, when it refuses this address.
 * @param prefix of the two settings that name it
 */
export const cannotListen =
  (prefix: "" | "METRICS_", host: string, port: number) =>
  (cause: Error): never => {
    const address = `${prefix}HOST ${host}, ${prefix}PORT ${port}`;
    throw new StartError(`Cannot listen on ${address}: ${cause.message}. Set another one.`, { cause });
  };

/**
 * Reads and checks every setting.
 * @throws {ConfigError} naming each wrong setting, what was given (never a secret) and what is
 * allowed. An empty value is wrong too: whoever sets `DATABASE_URL=` did not ask for another
 * database.
 */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const wrong: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting>(settings)) {
    const given = environment[name] ?? setting.fallback;
    const parsed = given === undefined ? undefined : setting.schema.safeParse(given);
    if (given === "" || parsed?.success === false) {
      const shown = setting.secret && given !== "" ? "what is given (not shown)" : JSON.stringify(given);
      wrong.push(`${name}: ${shown} is not allowed. Allowed: ${setting.allowed}.`);
    }
    values[camelCase(name)] = parsed?.data;
  }
  if (environment["DATABASE_URL"] !== undefined && environment["SECRET_KEY"] === undefined) {
    wrong.push(`SECRET_KEY is missing, and is required with DATABASE_URL: ${settings.SECRET_KEY.allowed}.`);
  }
  if ((environment["TLS_CERT"] === undefined) !== (environment["TLS_KEY"] === undefined)) {
    wrong.push("TLS_CERT and TLS_KEY: one of them alone is not allowed. Allowed: both, or neither.");
  }
  const { argon2MemoryKib, argon2Passes } = values as Partial<Config>;
  if (argon2MemoryKib && argon2Passes && argon2MemoryKib * argon2Passes < leastHashingWork) {
    wrong.push(
      `ARGON2_MEMORY_KIB and ARGON2_PASSES: ${argon2MemoryKib} times ${argon2Passes} is not allowed. Allowed: a product of ${leastHashingWork} or more (OWASP).`,
    );
  }
  if (wrong.length > 0) throw new ConfigError(wrong.join("\n"));
  return Object.freeze(values) as Config;
}

/** The settings for `--help`, a line each. */
export function describeSettings(): { name: string; fallback: string; help: string; allowed: string }[] {
  return Object.entries<Setting>(settings).map(([name, { fallback, help, allowed }]) => ({
    name,
    fallback: fallback ?? "",
    help,
    allowed,
  }));
}

const camelCase = (name: string) => name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
