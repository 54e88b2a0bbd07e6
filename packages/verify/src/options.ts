/** The options of a verifier, and what it can do. */
import type { Fetch } from "./json.ts";
import type { Principal } from "./principal.ts";
import type { CreateRefusal, RefusalSlug } from "./refusal.ts";

export type VerifierOptions = {
  /** The `PUBLIC_URL` of Latchkey, which tokens name in `iss`. `http://127.0.0.1:8080` if Latchkey has none. */
  issuer: string;
  /** The audience of your API, as it is registered in Latchkey. */
  audience: string;
  /**
   * An API key of Latchkey whose user has the scopes `revocations:read`, `tokens:introspect` and `apis:read`. Without it, there is no
   * way to know of revocations: revoked tokens are accepted until they expire, and API keys are refused. If it is given, it must not
   * be `undefined` or empty, as an environment variable that is not set would be.
   */
  credential?: string;
  /** The address at which this service reaches Latchkey, if it is not the issuer. */
  url?: string;
  /**
   * The URL of the metadata of your API (RFC 9728), for the challenge of each 401 and 403. From it, clients learn where to get a token,
   * as those of the Model Context Protocol do. `metadata()` returns the document.
   */
  metadataUrl?: string;
  /** How long credentials are still accepted while new revocations may be unknown, at least 1. By default 10 seconds. */
  maxStalenessSeconds?: number;
  /** After this time, refuses every credential with a 503 (the default), or accepts those that were not revoked until then. */
  onStale?: "refuse" | "accept";
  /** The number of credentials that are remembered, by default 20,000. Each takes about 2 KB. */
  maxRemembered?: number;
  /** The number of revocations that are kept, by default 1,000,000. Each takes about 200 bytes. With more, everything is refused. */
  maxRevocations?: number;
  /** Called when requests to Latchkey begin to fail. By default, a line is written to standard error. */
  onError?: (error: Error) => void;
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
};

export type VerifyOptions = {
  /** The scopes that the request needs, all of them. */
  scopes?: readonly string[];
};

export type Verifier = {
  readonly issuer: string;
  readonly audience: string;
  /**
   * Verifies the credential of a request.
   * @param authorization the value of the `Authorization` header
   * @returns the caller. Without a promise if the credential was verified before, so use `await`
   * @throws {Refusal} nothing else
   */
  verify(authorization: string | null | undefined, options?: VerifyOptions): Principal | Promise<Principal>;
  /**
   * Resolves when the keys and, with a credential, the revocations are known. Await it before you listen.
   * @throws {Error} if Latchkey rejects the requests, for example because of the credential, or the verifier is closed
   */
  ready(): Promise<void>;
  /**
   * The scopes of your API that are registered in Latchkey.
   * @returns `undefined` without a credential
   * @throws {Error} if Latchkey does not respond, rejects the credential (it needs the scope `apis:read`), or does not know the audience
   */
  registeredScopes(): Promise<ReadonlySet<string> | undefined>;
  /**
   * The metadata of your API (RFC 9728), as Latchkey has it, to be published at `metadataUrl`.
   * @throws {Error} as `registeredScopes`
   */
  metadata(): Promise<Readonly<Record<string, unknown>>>;
  /** A refusal like those of Latchkey, for checks of your own. */
  refusal: CreateRefusal;
  counters(): Counters;
  /** Stops all requests to Latchkey. Later, credentials are accepted until the revocations are stale. */
  close(): Promise<void>;
};

/** For metrics. The first six only grow. */
export type Counters = {
  accepted: number;
  acceptedFromMemory: number;
  /** By the last part of the problem's type. */
  refused: Readonly<Partial<Record<RefusalSlug, number>>>;
  /** Requests that looked up an API key. */
  introspections: number;
  /** Requests to Latchkey that failed. */
  failedRequests: number;
  /** Entries of the revocation list that `maxRevocations` left no room for. */
  rejectedRevocations: number;
  /** Credentials in memory. */
  remembered: number;
  /** Entries of the revocation list in memory. */
  revocations: number;
  /** How old the revocation list may be. `Infinity` before it was read, `undefined` without a credential. */
  stalenessSeconds: number | undefined;
};

type CheckedOptions = {
  issuer: string;
  audience: string;
  credential: string | undefined;
  url: string;
  metadataUrl: string | undefined;
  maxStalenessMs: number;
  mustBeCurrent: boolean;
  maxRemembered: number;
  maxRevocations: number;
  onError: (error: Error) => void;
  fetch: Fetch;
};

/** @throws {TypeError} for a wrong option */
export function checkOptions(options: VerifierOptions): CheckedOptions {
  const { audience, credential, maxStalenessSeconds = 10, onStale = "refuse" } = options;
  const { maxRemembered = 20_000, maxRevocations = 1_000_000 } = options;
  const issuer = addressOf("issuer", options.issuer);
  if (typeof audience !== "string" || audience === "")
    throw new TypeError("audience must be the audience of your API.");
  // A forgotten environment variable must not turn off revocations.
  if ("credential" in options && !credential)
    throw new TypeError("credential is undefined or empty. Leave it out to verify tokens without revocations.");
  if (credential !== undefined && !/^[!-~]+$/.test(credential)) throw new TypeError("credential must be an API key.");
  requireNumber("maxStalenessSeconds", maxStalenessSeconds, 86_400);
  requireNumber("maxRemembered", maxRemembered, 10_000_000);
  requireNumber("maxRevocations", maxRevocations, 10_000_000);
  if (onStale !== "refuse" && onStale !== "accept") throw new TypeError('onStale must be "refuse" or "accept".');
  return {
    issuer,
    audience,
    credential,
    url: options.url === undefined ? issuer : addressOf("url", options.url),
    metadataUrl: options.metadataUrl === undefined ? undefined : addressOf("metadataUrl", options.metadataUrl),
    maxStalenessMs: maxStalenessSeconds * 1000,
    mustBeCurrent: onStale === "refuse",
    maxRemembered,
    maxRevocations,
    onError: options.onError ?? ((error) => console.error(`@latchkey/verify: ${error.message}`)),
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
  };
}

/** @returns an address without a slash at its end, as the issuer of Latchkey is */
function addressOf(name: string, value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (
    !url ||
    !/^https?:$/.test(url.protocol) ||
    url.username + url.password !== "" ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw new TypeError(`${name} must be an http or https URL without a query.`);
  }
  return value.replace(/\/+$/, "");
}

function requireNumber(name: string, value: number, max: number): void {
  if (typeof value === "number" && value >= 1 && value <= max) return;
  throw new TypeError(`${name} must be a number from 1 to ${max}.`);
}
