/** The names of scopes. */
import { scopes as ownScopes } from "../../generated/scopes.ts";
import { Problem, type RequestError } from "../problems/problems.ts";

/** Whether a scope is one of this service, and not of a registered API. */
export const isOwnScope = (scope: string): boolean => Object.hasOwn(ownScopes, scope);

/** The scopes that OpenID Connect defines (Core, sections 3.1.2.1, 5.4 and 11). */
export const openIdScopes: readonly string[] = ["openid", "profile", "offline_access"];

/** Whether OpenID Connect defines a scope. It belongs to every audience, because it is about the user and not about an API. */
export const isOpenIdScope = (scope: string): boolean => openIdScopes.includes(scope);

/** The scopes of this service, without those of OpenID Connect, which only tell a client what it may know about the user. */
export const allOwnScopes: readonly string[] = Object.keys(ownScopes).filter((scope) => !isOpenIdScope(scope));

/**
 * @param text scopes, separated by single spaces (RFC 6749, section 3.3)
 * @throws {Problem} `invalid-scope` if it is malformed, or contains a scope twice
 */
export function parseScope(text: string): string[] {
  const names = text.split(" ");
  if (!names.every((name) => scopeName.test(name))) {
    throw new Problem("invalid-scope", {
      detail:
        "Separate scopes by single spaces. A scope has 1 to 64 printable characters without quotes and backslashes.",
    });
  }
  const repeated = names.find((name, index) => names.indexOf(name) < index);
  if (repeated !== undefined) throw new Problem("invalid-scope", { detail: `${nameOf(repeated)} occurs twice.` });
  return names;
}

/** RFC 6749, section 3.3. The length is that of the contract. */
const scopeName = /^[!#-[\]-~]{1,64}$/;

/** A scope in a problem's detail. A request can name scopes of any length. */
const nameOf = (scope: string): string => `The scope ${scope.slice(0, 64)}`;

/** An `invalid-scope` that names a scope which an API does not have. */
export const unknownScope = (scope: string): Problem =>
  new Problem("invalid-scope", { detail: `The API has no scope ${scope}.` });

/** Bounds the challenge of the response. */
const maxScopeLength = 400;

/** An `insufficient-scope` that names as many of the missing scopes as fit, and at least one. */
export function insufficientScope(missing: readonly string[]): Problem {
  let scope = missing[0] ?? "";
  for (const name of missing.slice(1)) {
    if (scope.length + 1 + name.length > maxScopeLength) break;
    scope += ` ${name}`;
  }
  return new Problem("insufficient-scope", { scope, detail: `The user or the credential does not have: ${scope}.` });
}

/** As many as the contract allows in a problem. */
const maxErrors = 20;

/**
 * Requires that each scope is one of this service or of a registered API.
 * @param wanted what the member `scopes` of the request contains
 * @param findApiScopes returns those of the scopes that a registered API has
 * @throws {Problem} `invalid-request` that names the others
 */
export async function requireKnownScopes(
  wanted: readonly string[],
  findApiScopes: (scopes: string[]) => Promise<string[]>,
): Promise<void> {
  const others = wanted.filter((scope) => !isOwnScope(scope));
  if (others.length === 0) return;
  const known = new Set(await findApiScopes(others));
  const [first, ...more] = wanted
    .flatMap((scope, index): RequestError[] =>
      isOwnScope(scope) || known.has(scope)
        ? []
        : [{ pointer: `#/scopes/${index}`, detail: `${scope} is not a scope of this service or of a registered API` }],
    )
    .slice(0, maxErrors);
  if (first) throw new Problem("invalid-request", { errors: [first, ...more] });
}
