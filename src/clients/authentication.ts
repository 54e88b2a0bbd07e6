/** Authenticates clients (RFC 6749, section 2.3; RFC 7523 for `private_key_jwt`). */
import type { Audit } from "../audit/audit.ts";
import type { Network } from "../identifiers.ts";
import { follow } from "../lib/follow.ts";
import type { LastUses } from "../lib/lastUses.ts";
import { type Networks, unknownNetwork } from "../networks.ts";
import { parseAuthorization } from "../openapi/authorizationHeader.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";
import { clientNetworks, requestContext } from "../requestContext.ts";
import { Throttled } from "../throttling/limits.ts";
import type { VerifyAssertion } from "./assertions.ts";
import type { Clients } from "./clients.ts";
import { parseClientSecret } from "./secrets.ts";
import type { Client } from "./storeTypes.ts";

/** The parameters of a request that authenticate its client. */
export type ClientParameters = {
  client_id?: string | undefined;
  client_secret?: string | undefined;
  client_assertion?: string | undefined;
  client_assertion_type?: string | undefined;
};

type ClientRequest = {
  /** The `Authorization` header. */
  authorization: string | undefined;
  parameters: ClientParameters;
};

/**
 * Returns no promise if the client is in memory and authenticates with a secret.
 * @throws {Problem} `invalid-client`, `invalid-request` if the request authenticates in two ways or is malformed,
 * `too-many-requests`, `database-unavailable`, `revocations-stale`
 */
export type AuthenticateClient = (request: ClientRequest) => Client | Promise<Client>;

/** What a request presents. Only one of them. */
type Credentials =
  | { method: "client_secret"; id: string; secret: string }
  | { method: "private_key_jwt"; id: string; assertion: string }
  | { method: "none"; id: string };

type Parts = {
  clients: Pick<Clients, "find">;
  verifyAssertion: VerifyAssertion;
  throttle: {
    /** Counts a refused client in its networks. @throws {Throttled} */
    refusedClient(networks: Networks): Promise<void>;
  };
  lastUses: Pick<LastUses, "record">;
  /** The time of the database. */
  clock: () => Date;
  audit: Audit;
};

export function createClientAuthentication(parts: Parts): AuthenticateClient {
  const { clients, verifyAssertion, throttle, lastUses, clock, audit } = parts;

  function verify(credentials: Credentials, client: Client): boolean | Promise<boolean> {
    if (client.authentication !== credentials.method) return false;
    switch (credentials.method) {
      case "none":
        return true;
      case "private_key_jwt":
        return verifyAssertion(client, credentials.assertion);
      case "client_secret": {
        const digest = parseClientSecret(credentials.secret);
        if (digest === undefined || !client.secretDigests.includes(digest)) return false;
        lastUses.record(digest, startOfMinute(clock()), networkOfUse);
        return true;
      }
    }
  }

  /** A right secret is never rejected: it cannot be guessed, and another program in the same network may have a wrong one. */
  async function refuse(client: Client | undefined): Promise<never> {
    audit("client-refused", { clientId: client?.id, reason: client ? "wrong-credentials" : "unknown" });
    await throttle.refusedClient(clientNetworks()).catch((error: unknown) => {
      if (error instanceof Throttled) audit("throttled", { limit: error.limit });
      throw error;
    });
    throw new Problem("invalid-client");
  }

  return (request) => {
    const credentials = readCredentials(request);
    // RFC 6749, section 5.2, and RFC 9110, section 15.5.2: Basic is the only scheme that works here.
    requestContext().acceptedSchemes = ["basicAuth"];
    if (!credentials) return refuse(undefined);
    return follow(clients.find(credentials.id), (client) => {
      if (!client) return refuse(undefined);
      return follow(verify(credentials, client), (isRight) => (isRight ? client : refuse(client)));
    });
  };
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/** @returns `undefined` if the request does not say which client sends it */
function readCredentials({ authorization, parameters }: ClientRequest): Credentials | undefined {
  const { client_id: id, client_secret: secret, client_assertion: assertion } = parameters;
  const header = parseAuthorization(authorization);
  const ways = [authorization, secret, assertion].filter((way) => way !== undefined);
  if (ways.length > 1) throw new Problem("invalid-request", { detail: "Authenticate the client in one way." });
  if (authorization !== undefined) {
    if (header?.scheme !== "basic") return undefined;
    const basic = { id: formDecode(header.username), secret: formDecode(header.password) };
    requireSameId(id, basic.id);
    return { method: "client_secret", ...basic };
  }
  if (assertion !== undefined) {
    if (parameters.client_assertion_type !== assertionType)
      throw invalidRequest({ parameter: "client_assertion_type", detail: `must be ${assertionType}` });
    const subject = subjectOf(assertion);
    if (subject === undefined) return undefined;
    requireSameId(id, subject);
    return { method: "private_key_jwt", id: subject, assertion };
  }
  if (id === undefined) return undefined;
  return secret === undefined ? { method: "none", id } : { method: "client_secret", id, secret };
}

function requireSameId(parameter: string | undefined, authenticated: string): void {
  if (parameter !== undefined && parameter !== authenticated)
    throw invalidRequest({ parameter: "client_id", detail: "names another client than the credentials" });
}

/**
 * Both parts of Basic credentials are encoded as in a form (RFC 6749, section 2.3.1). Our ids and secrets are the same when encoded,
 * except for URLs as ids. Many clients send those without encoding, so a malformed escape stays as it is.
 */
function formDecode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

/** The `sub` of a JWT that is not verified yet. */
function subjectOf(assertion: string): string | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(assertion.split(".")[1] ?? "", "base64url").toString());
    const isObject = typeof claims === "object" && claims !== null;
    return isObject && "sub" in claims && typeof claims.sub === "string" ? claims.sub : undefined;
  } catch {
    return undefined;
  }
}

function networkOfUse(): Network | null {
  const [network] = clientNetworks();
  return network === unknownNetwork ? null : network;
}

const minuteMs = 60_000;
const startOfMinute = (time: Date): Date => new Date(Math.floor(time.getTime() / minuteMs) * minuteMs);
