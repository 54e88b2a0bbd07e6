/** The `security` of operations: which credentials and scopes a request needs. */
import { ContractError, isObject, type Members, member, resolve } from "./document.ts";

export type Alternatives = readonly (readonly string[])[];

/** What a `security` means for a credential in the Authorization header. */
export type Security = {
  /** The scopes of each alternative. Empty if the operation is open: its credentials are ignored. */
  alternatives: Alternatives;
  /** Those of `alternatives` for a password: with a scheme of the type `http` with `basic`. */
  basicAlternatives: Alternatives;
  /** Those for a token or an API key: with another scheme. */
  bearerAlternatives: Alternatives;
  /** Whether the operation also serves requests without sufficient credentials: `[]`, or `{}` as one of the alternatives. */
  allowsAnonymous: boolean;
};

type Scheme = {
  kind: "basic" | "bearer" | "unsupported";
  /** What it is, for a reason. */
  description: string;
  /** Whether OpenAPI allows scopes for it. */
  hasScopes: boolean;
};

const maxAlternatives = 50;
const maxScopes = 100;

/** RFC 6749, section 3.3. */
const isScope = (value: unknown): value is string =>
  typeof value === "string" && value.length <= 256 && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(value);

/**
 * @returns a function that reads the `security` of an operation or of the document. It throws {ContractError} if the value is
 * malformed, if it names a scheme that does not exist, and if Latchkey can check none of its alternatives
 */
export function securityReader(document: Members): (value: unknown, where: string) => Security {
  const schemes = new Map<string, Scheme>();

  return (value, where) => {
    if (!Array.isArray(value)) throw new ContractError([`${where}: security is not a list.`]);
    if (value.length > maxAlternatives) {
      throw new ContractError([`${where}: security has more than ${maxAlternatives} alternatives.`]);
    }
    if (value.length === 0) return open;
    const alternatives = value.map((alternative: unknown) => readAlternative(alternative, where));
    const supported = alternatives.filter(({ unsupported }) => unsupported.length === 0);
    if (supported.length === 0) throw new ContractError([unsupportedReason(alternatives, where)]);
    const scopesOf = (found: typeof supported) => found.map(({ scopes }) => scopes);
    return {
      alternatives: scopesOf(supported.filter(({ isAnonymous }) => !isAnonymous)),
      basicAlternatives: scopesOf(supported.filter(({ kinds }) => kinds.includes("basic"))),
      bearerAlternatives: scopesOf(supported.filter(({ kinds }) => kinds.includes("bearer"))),
      allowsAnonymous: supported.some(({ isAnonymous }) => isAnonymous),
    };
  };

  function readAlternative(alternative: unknown, where: string) {
    if (!isObject(alternative)) throw new ContractError([`${where}: an alternative of security is not an object.`]);
    const named = Object.entries(alternative).map(([name, scopes]) => ({ ...schemeOf(name, where), name, scopes }));
    for (const { name, scopes, hasScopes, description } of named) {
      if (!Array.isArray(scopes) || !scopes.every(isScope) || scopes.length > maxScopes) {
        throw new ContractError([`${where}: the scopes of ${name} are not a list of scopes (RFC 6749, section 3.3).`]);
      }
      if (scopes.length > 0 && !hasScopes) {
        throw new ContractError([
          `${where}: ${name} is ${description}. OpenAPI 3.0 allows scopes for oauth2 and openIdConnect only; 3.1 allows them for every scheme.`,
        ]);
      }
    }
    const kinds = named.map(({ kind }) => kind);
    const unsupported = named
      .filter(({ kind }) => kind === "unsupported")
      .map(({ name, description }) => `${name} is ${description}`);
    if (kinds.includes("basic") && kinds.includes("bearer")) {
      unsupported.push(`${named.map(({ name }) => name).join(" and ")} together need two of them`);
    }
    return {
      isAnonymous: named.length === 0,
      scopes: unique(named.flatMap(({ scopes }) => scopes as string[])),
      kinds,
      unsupported,
    };
  }

  function schemeOf(name: string, where: string): Scheme {
    const known = schemes.get(name);
    if (known) return known;
    const components = member(document, "components");
    const declared = isObject(components) ? member(components, "securitySchemes") : undefined;
    const value = isObject(declared) ? member(declared, name) : undefined;
    if (value === undefined) {
      throw new ContractError([`${where}: security names ${name}, which components.securitySchemes does not have.`]);
    }
    const place = `components.securitySchemes.${name}`;
    const scheme = readScheme(resolve(document, value, place), place, isVersion30(document));
    schemes.set(name, scheme);
    return scheme;
  }
}

const open: Security = { alternatives: [], basicAlternatives: [], bearerAlternatives: [], allowsAnonymous: true };

const isVersion30 = (document: Members): boolean => String(member(document, "openapi")).startsWith("3.0.");

/** Latchkey reads tokens and API keys from the Authorization header. */
function readScheme(scheme: Members, place: string, isLimited: boolean): Scheme {
  const hasScopes = !isLimited;
  const text = (name: string): string => {
    const value = member(scheme, name);
    if (typeof value !== "string") throw new ContractError([`${place} has no ${name}.`]);
    return value;
  };
  const type = text("type");
  switch (type) {
    case "http": {
      const name = text("scheme").toLowerCase();
      const kind = name === "basic" || name === "bearer" ? name : "unsupported";
      return { kind, description: `the HTTP scheme ${name}`, hasScopes };
    }
    case "apiKey": {
      const isAuthorization = text("in") === "header" && text("name").toLowerCase() === "authorization";
      const description = `an API key in the ${text("in")} ${text("name")}`;
      return { kind: isAuthorization ? "bearer" : "unsupported", description, hasScopes };
    }
    case "oauth2":
    case "openIdConnect":
      return { kind: "bearer", description: type, hasScopes: true };
    case "mutualTLS":
      return { kind: "unsupported", description: "mutual TLS", hasScopes };
    default:
      throw new ContractError([`${place} has the unknown type ${type}.`]);
  }
}

const unsupportedReason = (alternatives: readonly { unsupported: readonly string[] }[], where: string): string => {
  const reasons = new Set(alternatives.flatMap(({ unsupported }) => unsupported));
  return `${where}: Latchkey checks credentials in the Authorization header only, but ${[...reasons].join(", and ")}. Add an alternative with the type http and the scheme bearer.`;
};

/**
 * Compares the scopes of a credential with a `security`. It is sufficient if it has all scopes of one alternative.
 * @param alternatives those for the kind of the credential, at least one
 * @returns the scopes that are missing for the alternative that lacks the fewest; empty if the credential is sufficient
 */
export const missingScopes = (alternatives: Alternatives, hasScope: (scope: string) => boolean): readonly string[] =>
  fewestMissing(alternatives.map((scopes) => scopes.filter((scope) => !hasScope(scope))));

/** @param missing the scopes that each alternative lacks */
export const fewestMissing = (missing: Alternatives): readonly string[] =>
  missing.reduce((fewest, other) => (other.length < fewest.length ? other : fewest));

/** The combined security of two operations that match the same request, which must satisfy both. */
export function both(one: Security, other: Security): Security {
  const combined = (name: "alternatives" | "basicAlternatives" | "bearerAlternatives") => [
    ...one[name].flatMap((some) => other[name].map((more) => unique([...some, ...more]))),
    ...(one.allowsAnonymous ? other[name] : []),
    ...(other.allowsAnonymous ? one[name] : []),
  ];
  return {
    alternatives: combined("alternatives"),
    basicAlternatives: combined("basicAlternatives"),
    bearerAlternatives: combined("bearerAlternatives"),
    allowsAnonymous: one.allowsAnonymous && other.allowsAnonymous,
  };
}

const unique = (scopes: readonly string[]): string[] => [...new Set(scopes)];
