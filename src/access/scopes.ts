/** The names of scopes. */
import { scopes as ownScopes } from "../../generated/scopes.ts";
import { Problem } from "../problems/problems.ts";

/** Whether a scope is one of this service, and not of a registered API. */
export const isOwnScope = (scope: string): boolean => Object.hasOwn(ownScopes, scope);

/** The scopes of this service. */
export const allOwnScopes: readonly string[] = Object.keys(ownScopes);

/**
 * @param text scopes, separated by single spaces (RFC 6749, section 3.3)
 * @throws {Problem} `invalid-scope` if it is malformed, or contains a scope twice
 */
export function parseScope(text: string): string[] {
  const names = text.split(" ");
  if (!names.every((name) => scopeName.test(name))) {
    throw new Problem("invalid-scope", { detail: "Separate scopes by single spaces." });
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

/** @returns as many of the scopes as fit into a problem, separated by spaces; at least one */
export function scopesInProblem(scopes: readonly string[]): string {
  let text = scopes[0] ?? "";
  for (const scope of scopes.slice(1)) {
    if (text.length + 1 + scope.length > maxScopeLength) break;
    text += ` ${scope}`;
  }
  return text;
}
