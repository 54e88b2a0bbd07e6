/** The guard that enforces the `security` of your own OpenAPI document, operation by operation. */
import {
  type Contract,
  ContractError,
  missingScopes,
  type Operation,
  parseContract,
  parseDocument,
} from "./contract/contract.ts";
import type { Guard, GuardedRequest } from "./guard.ts";
import type { Verifier } from "./options.ts";
import type { Principal } from "./principal.ts";
import { Refusal } from "./refusal.ts";

export type ContractGuardOptions = {
  /** An OpenAPI 3.0 or 3.1 document: the path of its file, YAML or JSON, the `file:` URL, or the document itself as an object. */
  contract: string | URL | object;
  verifier: Pick<Verifier, "audience" | "refusal" | "registeredScopes" | "verify">;
  /**
   * The path with which the paths of requests begin, in place of those of the document's `servers`. Set it if a proxy removes the
   * beginning of the path: `""` for none, `/v1` without a slash at its end.
   */
  basePath?: string;
  /**
   * What happens to requests for paths that the contract does not have: they are refused with a 404 (the default), or allowed
   * without credentials.
   */
  undeclared?: "refuse" | "allow";
};

/**
 * Makes a guard that requires of each request what the contract declares for its operation.
 * @throws {ContractError} if the contract cannot be enforced: an operation has no `security`, Latchkey cannot check any of its
 * alternatives, a scope is not registered for the API, or the document is malformed
 * @throws {Error} if the file cannot be read, or Latchkey does not say which scopes are registered
 */
export async function contractGuard(options: ContractGuardOptions): Promise<Guard> {
  const { verifier, basePath, undeclared = "refuse" } = options;
  const contract = parseContract(await readContract(options.contract), { basePath });
  await requireRegistered(contract, verifier);

  const authorize = ({ method, url, authorization, fetchDestination }: GuardedRequest): Authorized => {
    const target = targetOf(url);
    const operation = contract.match(method, target);
    if (operation === undefined) return withoutOperation(target);
    if (operation.alternatives.length === 0) return undefined;
    if (operation.allowsAnonymous) return authorizeIfPossible(operation, authorization);
    return settle(
      () => verify(operation, authorization),
      (principal) => withScopes(operation, principal),
      (error) => {
        throw withChallenges(error, operation, fetchDestination);
      },
    );
  };

  /** If an operation accepts nothing but a password, no credential is enough: a verifier cannot check passwords. */
  const verify = ({ bearerAlternatives }: Operation, authorization: string | null | undefined) => {
    if (bearerAlternatives.length === 0) throw verifier.refusal("authentication-required");
    return verifier.verify(authorization);
  };

  /** Treats credentials that are not valid or not sufficient as none, as Latchkey does. */
  const authorizeIfPossible = (operation: Operation, authorization: string | null | undefined): Authorized => {
    if (authorization === undefined || authorization === null) return undefined;
    return settle(
      () => verify(operation, authorization),
      (principal) => (missingFor(operation, principal).length === 0 ? principal : undefined),
      (error) => {
        if (error instanceof Refusal && error.status === 401) return undefined;
        throw error;
      },
    );
  };

  const withScopes = (operation: Operation, principal: Principal): Principal => {
    const missing = missingFor(operation, principal);
    if (missing.length === 0) return principal;
    throw verifier.refusal("insufficient-scope", { missingScopes: missing });
  };

  const withoutOperation = (target: string): undefined => {
    const allow = contract.allow(target);
    if (allow.length > 0) throw verifier.refusal("method-not-allowed", { allow });
    if (undeclared === "allow" && !contract.resemblesPath(target)) return undefined;
    throw verifier.refusal("not-found", { detail: "The contract has no path that is written like this." });
  };

  return { authorize };
}

type Authorized = Principal | undefined | Promise<Principal | undefined>;

const missingFor = ({ bearerAlternatives }: Operation, { scopes }: Principal): readonly string[] =>
  missingScopes(bearerAlternatives, (scope) => scopes.has(scope));

async function readContract(contract: string | URL | object): Promise<unknown> {
  if (typeof contract === "object" && !(contract instanceof URL)) return contract;
  const { readFile } = await import("node:fs/promises");
  return parseDocument(await readFile(contract, "utf8"));
}

/** Nobody could have a scope that is not registered. A misspelled one would show only when the first request is refused. */
async function requireRegistered(
  contract: Contract,
  verifier: Pick<Verifier, "audience" | "registeredScopes">,
): Promise<void> {
  if (contract.scopes.length === 0) return;
  const registered = await verifier.registeredScopes();
  if (registered === undefined) return;
  const problems = contract.scopes
    .filter((scope) => !registered.has(scope))
    .map((scope) => {
      const operation = contract.operations.find(({ alternatives }) => alternatives.some((one) => one.includes(scope)));
      return `${operation?.method} ${operation?.path} requires the scope ${scope}, which is not registered in Latchkey for ${verifier.audience}.`;
    });
  if (problems.length > 0) throw new ContractError(problems);
}

/**
 * The target of a request. An absolute URL must have a host and a port that every router reads alike: Express takes `:b/orders` of
 * `http://h:a:b/orders` for the path.
 * @returns the empty string, which no contract has, for every other URL
 */
function targetOf(url: string): string {
  if (url.startsWith("/")) return url;
  return /^https?:\/\/(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?(\/.*)$/is.exec(url)?.[1] ?? "";
}

/** Calls one of two functions with the result, at once if it is not a promise, as for a credential that was verified before. */
function settle(
  verify: () => Principal | Promise<Principal>,
  onVerified: (principal: Principal) => Principal | undefined,
  onError: (error: unknown) => undefined,
): Authorized {
  let verified: Principal | Promise<Principal>;
  try {
    verified = verify();
  } catch (error) {
    return onError(error);
  }
  return verified instanceof Promise ? verified.then(onVerified, onError) : onVerified(verified);
}

/**
 * The 401 with the challenges of the operation (RFC 9110, section 11.6.1). Scripts in a browser get no Basic challenge, because the
 * browser would open its login dialog over the page. A 401 must have a challenge, so if no other is left, they get one of a scheme
 * that browsers do not know.
 * @param destination `Sec-Fetch-Dest`
 */
function withChallenges(error: unknown, operation: Operation, destination: string | null | undefined): unknown {
  if (!(error instanceof Refusal) || error.status !== 401 || operation.basicAlternatives.length === 0) return error;
  const { "WWW-Authenticate": bearer = "", ...headers } = error.headers;
  const mayOpenDialog = destination === undefined || destination === null || destination === "document";
  const challenges = [
    ...(mayOpenDialog ? ['Basic realm="latchkey", charset="UTF-8"'] : []),
    ...(operation.bearerAlternatives.length > 0 ? [bearer] : []),
  ];
  const shown = challenges.length > 0 ? challenges.join(", ") : 'Password realm="latchkey"';
  return new Refusal(error.problem, { ...headers, "WWW-Authenticate": shown }, { cause: error.cause });
}
