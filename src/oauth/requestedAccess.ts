/** Which audience and scopes the request of a client asks for (RFC 6749, section 3.3; RFC 8707, section 2). */
import type { Grants } from "../access/grants.ts";
import { isOpenIdScope, isOwnScope, parseScope, unknownScope } from "../access/scopes.ts";
import { canActForUsers } from "../clients/grantTypes.ts";
import type { Client } from "../clients/storeTypes.ts";
import { follow, gather } from "../lib/follow.ts";
import { Problem } from "../problems/problems.ts";

/** The parameters of an authorization, device or token request. */
export type AccessRequest = {
  /** Separated by spaces. */
  scope?: string | undefined;
  resource?: string | undefined;
};

/** What the client asks for and may have. The rights of the user can only narrow it. */
export type RequestedAccess = {
  audience: string;
  /** Scopes of the audience and of OpenID Connect, in the order in which the client asked for them. */
  scopes: readonly string[];
};

type AskingClient = Pick<Client, "scopes" | "audiences" | "grantTypes">;

type Parties = {
  client: AskingClient;
  /** The audience of this service. */
  issuer: string;
  /** The scopes of each API in the client's `audiences`. Deleted APIs are absent. */
  apiScopes: ReadonlyMap<string, ReadonlySet<string>>;
};

/** @throws {Problem} `invalid-scope`, `invalid-target`, `revocations-stale`, `database-unavailable` */
export type FindRequestedAccess = (
  client: AskingClient,
  request: AccessRequest,
) => RequestedAccess | Promise<RequestedAccess>;

export const createRequestedAccess =
  ({ grants, issuer }: { grants: Pick<Grants, "findApi">; issuer: string }): FindRequestedAccess =>
  (client, request) =>
    follow(gather(client.audiences.map((audience) => grants.findApi(audience))), (apis) => {
      const apiScopes = new Map<string, ReadonlySet<string>>();
      for (const [index, audience] of client.audiences.entries()) {
        const api = apis[index];
        if (api) apiScopes.set(audience, api.scopes);
      }
      return requestedAccess({ client, issuer, apiScopes }, request);
    });

/**
 * Without `resource`, the scopes decide about the audience. Without `scope`, the client asks for all of its scopes.
 * @throws {Problem} `invalid-scope`, `invalid-target`
 */
export function requestedAccess(parties: Parties, { scope, resource }: AccessRequest): RequestedAccess {
  const asked = scope === undefined ? undefined : knownScopes(scope, parties.client.scopes);
  const refused = asked?.find((name) => !isAllowed(parties.client, name));
  if (refused !== undefined) {
    throw new Problem("invalid-scope", { detail: `The client may not ask for the scope ${refused}.` });
  }
  const audience = resource === undefined ? audienceOf(parties, asked) : requireAudience(parties, resource);
  const belongs = (name: string) => isOpenIdScope(name) || isScopeOf(parties, audience, name);
  const unknown = asked?.find((name) => !belongs(name));
  if (unknown !== undefined) throw unknownScope(unknown);
  return { audience, scopes: asked ?? parties.client.scopes.filter(belongs) };
}

/**
 * What a token request asks for, which is at most what was granted (RFC 6749, section 6; RFC 8707, section 2.2).
 * @throws {Problem} `invalid-scope`, `invalid-target`
 */
export function narrowedAccess(granted: RequestedAccess, { scope, resource }: AccessRequest): RequestedAccess {
  const { audience } = granted;
  if (resource !== undefined && resource !== audience) {
    throw new Problem("invalid-target", { detail: `The grant is for ${audience}.` });
  }
  const scopes = scope === undefined ? granted.scopes : knownScopes(scope, granted.scopes);
  const excess = scopes.find((name) => !granted.scopes.includes(name));
  if (excess !== undefined) {
    throw new Problem("invalid-scope", { detail: `The scope ${excess} was not granted.` });
  }
  return { audience, scopes };
}

/**
 * What a client asks for of the scopes that the user has allowed. It may ask for more, as in its authorization request.
 * @returns a function, so that a malformed scope is refused before a code is used up
 * @throws {Problem} `invalid-scope`
 */
export function scopesAsked(scope: string | undefined): (allowed: readonly string[]) => readonly string[] {
  if (scope === undefined) return (allowed) => allowed;
  const asked = parseScope(scope);
  return (allowed) => allowed.filter((name) => asked.includes(name));
}

/**
 * What a client still has of what was granted: an administrator may have taken something away since.
 * @throws {Problem} `invalid-target` if the client may no longer use the audience
 */
export function withinClient(
  { client, issuer }: Pick<Parties, "client" | "issuer">,
  { audience, scopes }: RequestedAccess,
): RequestedAccess {
  if (audience !== issuer && !client.audiences.includes(audience)) throw new Problem("invalid-target");
  return { audience, scopes: scopes.filter((scope) => isAllowed(client, scope)) };
}

/**
 * Omits the scopes that ask for claims which the service does not have. Many clients ask for them by default, and they are to be
 * ignored (OpenID Connect Core, section 3.1.2.1).
 */
const knownScopes = (scope: string, known: readonly string[]): string[] =>
  parseScope(scope).filter((name) => known.includes(name) || !absentClaims.has(name));

const absentClaims: ReadonlySet<string> = new Set(["email", "address", "phone"]);

/** Every client that acts for users may use OpenID Connect. */
const isAllowed = ({ scopes, grantTypes }: AskingClient, scope: string): boolean =>
  scopes.includes(scope) || (isOpenIdScope(scope) && canActForUsers(grantTypes));

const isScopeOf = ({ issuer, apiScopes }: Parties, audience: string, scope: string): boolean =>
  audience === issuer ? isOwnScope(scope) : (apiScopes.get(audience)?.has(scope) ?? false);

function requireAudience({ client, issuer, apiScopes }: Parties, resource: string): string {
  if (resource === issuer || apiScopes.has(resource)) return resource;
  throw new Problem("invalid-target", {
    detail: client.audiences.includes(resource)
      ? "No API with this audience is registered."
      : "The client may not get tokens for this audience.",
  });
}

/** @param asked the scopes that the client names; `undefined`: all of them */
function audienceOf(parties: Parties, asked: readonly string[] | undefined): string {
  const { client, issuer, apiScopes } = parties;
  const scopes = (asked ?? client.scopes).filter((scope) => !isOpenIdScope(scope));
  const candidates =
    asked === undefined
      ? scopes.some(isOwnScope) || client.audiences.length === 0
        ? [issuer]
        : [...apiScopes.keys()]
      : [issuer, ...apiScopes.keys()].filter((audience) => scopes.every((name) => isScopeOf(parties, audience, name)));
  // No API has a scope of this service. So this service and an API can both be candidates only if no scope is left.
  const [first, ...others] = candidates;
  if (first !== undefined && (first === issuer || others.length === 0)) return first;
  throw new Problem("invalid-scope", {
    detail:
      candidates.length === 0
        ? "No audience of the client has all of these scopes. Name the audience with resource."
        : "Several APIs have these scopes. Name the audience with resource.",
  });
}
