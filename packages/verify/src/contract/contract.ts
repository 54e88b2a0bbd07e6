/**
 * Reads from an OpenAPI document what each operation requires, and finds the operation of a request. Nothing here does any I/O.
 */
import { ContractError, isObject, type Members, member, resolve } from "./document.ts";
import { createMatcher, maxCompared } from "./matcher.ts";
import {
  isRequestPath,
  isUnmistakable,
  lenientTemplates,
  parseTemplate,
  pathOfTarget,
  readingsOf,
  splitPath,
} from "./pathTemplate.ts";
import { both, type Security, securityReader } from "./security.ts";
import { basePathsOf } from "./servers.ts";

export { ContractError, parseDocument } from "./document.ts";
export { type Alternatives, fewestMissing, missingScopes, type Security } from "./security.ts";

/** A method and a path of the contract, with what it requires. */
export type Operation = Security & {
  /** `operationId`; `undefined` without one. */
  id: string | undefined;
  /** In capitals. */
  method: string;
  /** The path as the contract writes it: `/orders/{id}`. */
  path: string;
};

export type Contract = {
  operations: readonly Operation[];
  /** The scopes of all operations, in alphabetical order. */
  scopes: readonly string[];
  /**
   * Finds the operation of a request. A path is compared as it was sent: with its case, its percent-encoding and its slashes.
   * `HEAD` matches `GET` if the path does not declare `HEAD`.
   * @param target the request target as received: `/v1/orders/7?page=2`
   * @returns `undefined` if the contract has no such operation, if a router or a proxy could take the path for another
   * one of the contract, and if too many operations without precedence match
   */
  match(method: string, target: string): Operation | undefined;
  /** The methods of a path, for `Allow`. Empty if the contract has no such path. */
  allow(target: string): readonly string[];
  /**
   * Whether a router or a proxy could treat the path as one of the contract, or could read it in a way that this code does not
   * foresee. If not, the path cannot reach an operation of the contract.
   */
  resemblesPath(target: string): boolean;
};

export type ContractOptions = {
  /**
   * The path with which the paths of requests begin, in place of those of the document's `servers`. A service behind a proxy that
   * removes the beginning of the path needs it: `""` for none, `/v1` without a slash at its end.
   */
  basePath?: string | undefined;
};

/** The operations of a path, by method. */
type Entry = {
  /** The path as the contract writes it. */
  path: string;
  operations: Map<string, Operation>;
};

const methods = new Set(["get", "put", "post", "delete", "options", "head", "patch", "trace"]);
const otherMembers = new Set(["summary", "description", "servers", "parameters"]);
// They bound the time to read a contract to about a second, and the memory.
const maxEntries = 10_000;
const maxOperations = 10_000;
/** Characters of all paths, with each base path. */
const maxPathsLength = 1_000_000;
const maxProblems = 1_000;
/** The maximum number of combined alternatives for a request that matches several operations. */
const maxCombined = 1_000;

/**
 * Reads a contract: OpenAPI 3.0 or 3.1, as an object.
 * @throws {ContractError} with all reasons why the security of the document cannot be enforced
 */
export function parseContract(document: unknown, { basePath }: ContractOptions = {}): Contract {
  if (!isObject(document)) throw new ContractError(["The document is not an object."]);
  const root: Members = document;
  requireVersion(root);
  const problems: string[] = [];
  /** Runs a step, and remembers why it failed, so that all problems are reported together. */
  const attempt = (step: () => void): void => {
    if (problems.length >= maxProblems) return;
    try {
      step();
    } catch (error) {
      if (!(error instanceof ContractError)) throw error;
      problems.push(...error.problems);
    }
  };
  const readSecurity = memoize(securityReader(root));
  const table = createTable();
  const basePaths = memoize((servers: unknown, where: string) =>
    basePath === undefined ? basePathsOf(servers, where) : [checkedBasePath(basePath)],
  );

  const paths = member(root, "paths");
  if (!isObject(paths)) throw new ContractError(["The document has no paths."]);
  for (const [path, value] of Object.entries(paths)) {
    if (path.startsWith("x-")) continue;
    attempt(() => {
      const item = resolve(root, value, path);
      for (const name of Object.keys(item)) {
        if (!methods.has(name) && !otherMembers.has(name) && !name.startsWith("x-")) {
          throw new ContractError([`${path} has the unknown member ${name}.`]);
        }
      }
      for (const method of Object.keys(item).filter((name) => methods.has(name))) {
        attempt(() => addOperation(path, item, method));
      }
    });
  }
  if (problems.length === 0 && table.operations.length === 0) problems.push("The document has no operations.");
  if (problems.length > 0) throw new ContractError([...new Set(problems)]);
  // Operations with the same `security` share it.
  const shared = new Set(table.operations.map(({ alternatives }) => alternatives));
  const scopes = new Set([...shared].flatMap((alternatives) => alternatives.flat()));
  return { operations: table.operations, scopes: [...scopes].sort(), ...finder(table.entries) };

  function addOperation(path: string, item: Members, method: string): void {
    const operation = member(item, method);
    if (operation === undefined) return;
    const where = `${method.toUpperCase()} ${path}`;
    if (!isObject(operation)) throw new ContractError([`${where} is not an object.`]);
    const id = member(operation, "operationId");
    const security = nearest("security", [operation, where], [root, "The document"]);
    if (security === undefined) {
      throw new ContractError([
        `${where} has no security, and neither has the document. Declare security: [] if it is open to everyone.`,
      ]);
    }
    const servers = nearest("servers", [operation, where], [item, path], [root, "The document"]);
    table.add(
      {
        ...readSecurity(security.value, security.where),
        id: typeof id === "string" ? id : undefined,
        method: method.toUpperCase(),
        path,
      },
      basePaths(servers?.value, servers?.where ?? where),
    );
  }
}

/** @returns a member of the first object that has it, and where that is */
function nearest(name: string, ...places: [Members, string][]): { value: unknown; where: string } | undefined {
  for (const [object, where] of places) {
    const value = member(object, name);
    if (value !== undefined) return { value, where };
  }
  return undefined;
}

function requireVersion(document: Members): void {
  const version = member(document, "openapi");
  if (typeof version === "string" && /^3\.[01]\.\d+/.test(version)) return;
  const given = version ?? member(document, "swagger");
  throw new ContractError([
    given === undefined
      ? "The document has no member openapi."
      : `The document has the version ${JSON.stringify(given)} of OpenAPI. The versions 3.0 and 3.1 are supported.`,
  ]);
}

function checkedBasePath(basePath: string): string {
  if (/^(\/[^/?#]+)*$/.test(basePath)) return basePath;
  throw new ContractError([`The base path ${JSON.stringify(basePath)} is not "" and not a path such as "/v1".`]);
}

/** Reads each part of the document once. Most operations have the `servers` and the `security` of the document, or refer to others. */
function memoize<Value extends object>(read: (part: unknown, where: string) => Value) {
  const known = new Map<unknown, Value>();
  return (part: unknown, where: string): Value => {
    const value = known.get(part) ?? read(part, where);
    known.set(part, value);
    return value;
  };
}

type Entries = ReturnType<typeof createTable>["entries"];

/** Collects operations by their full paths, and rejects paths that match the same requests. */
function createTable() {
  const entries = new Map<string, { fullPath: string; entry: Entry }>();
  /** The full paths by their lenient shapes. */
  const lenient = new Map<string, string>();
  const operations: Operation[] = [];
  let pathsLength = 0;

  return {
    entries,
    operations,
    add(operation: Operation, basePaths: readonly string[]): void {
      if (operations.length >= maxOperations)
        throw new ContractError([`It has more than ${maxOperations} operations.`]);
      operations.push(operation);
      for (const basePath of basePaths) {
        const fullPath = basePath + operation.path;
        pathsLength += fullPath.length;
        if (pathsLength > maxPathsLength) {
          throw new ContractError([`Its paths have more than ${maxPathsLength} characters, with all servers.`]);
        }
        const { shape, entry } = entryFor(fullPath, operation.path);
        entry.operations.set(operation.method, operation);
        if (entries.size > maxEntries) throw new ContractError([`The document has more than ${maxEntries} paths.`]);
        entries.set(shape, { fullPath, entry });
      }
    },
  };

  function entryFor(fullPath: string, path: string): { shape: string; entry: Entry } {
    const template = parseTemplate(fullPath);
    const same = entries.get(template.shape);
    if (same && same.fullPath === fullPath && same.entry.path === path) {
      return { shape: template.shape, entry: same.entry };
    }
    const shapes = lenientTemplates(template).map(({ shape }) => shape);
    const similar = same?.fullPath ?? shapes.map((shape) => lenient.get(shape)).find((found) => found !== undefined);
    if (similar !== undefined) {
      throw new ContractError([
        `The paths ${similar} and ${fullPath} are ambiguous: they differ at most in the names of parameters, case, encoding or slashes.`,
      ]);
    }
    for (const shape of shapes) lenient.set(shape, fullPath);
    return { shape: template.shape, entry: { path, operations: new Map() } };
  }
}

function finder(entries: Entries): Pick<Contract, "match" | "allow" | "resemblesPath"> {
  /** The values are lists, so that no list has to be made for each request. */
  const fixed = new Map<string, readonly [Entry]>();
  const all = [...entries.values()].map(({ fullPath, entry }) => ({
    value: { ...entry, operations: withHead(entry.operations) },
    template: parseTemplate(fullPath),
  }));
  for (const { value, template } of all) {
    if (template.segments.every(({ kind }) => kind === "text")) fixed.set(template.shape, [value]);
  }
  const strict = createMatcher(all.map(({ value, template }) => ({ value, segments: template.segments })));
  const lenient = createMatcher(
    all.flatMap(({ value, template }) => lenientTemplates(template).map(({ segments }) => ({ value, segments }))),
  );
  const isPlain = all.every(({ template }) => !/[A-Z%]/.test(template.shape));

  /** Several if none of them has precedence. */
  function find(target: string): readonly Entry[] {
    const path = pathOfTarget(target);
    const exact = fixed.get(path);
    if (exact) return exact;
    if (!isRequestPath(path)) return [];
    const found = strict.find(splitPath(path));
    if (found.length === 0 || (isPlain && isUnmistakable(path))) return found;
    const isMistakable = readingsOf(path)?.some((reading) => {
      const read = lenient.find(reading);
      return read.length > 0 && !haveSameItems(found, read);
    });
    return isMistakable === false ? found : [];
  }

  return {
    match(method, target) {
      const matched = find(target);
      if (matched.length === 1) return matched[0]?.operations.get(method); // nearly always, so without another list
      const found = matched.flatMap(({ operations }) => operations.get(method) ?? []);
      if (found.length <= 1) return found[0];
      if (found.length > maxCompared) return undefined;
      const combinations = found.reduce((product, operation) => product * choices(operation), 1);
      return combinations > maxCombined ? undefined : found.reduce(requireBoth);
    },
    allow: (target) => [...new Set(find(target).flatMap(({ operations }) => [...operations.keys()]))],
    resemblesPath(target) {
      const path = pathOfTarget(target);
      const readings = isRequestPath(path) ? readingsOf(path) : undefined;
      return readings === undefined || readings.some((reading) => lenient.find(reading).length > 0);
    },
  };
}

const haveSameItems = (some: readonly Entry[], others: readonly Entry[]): boolean =>
  some.length === others.length && some.every((entry) => others.includes(entry));

/** HEAD has the rights of GET (RFC 9110, section 9.3.2). */
const withHead = (operations: ReadonlyMap<string, Operation>): Map<string, Operation> =>
  new Map(
    [...operations].flatMap(([method, operation]) =>
      method === "GET" && !operations.has("HEAD")
        ? [[method, operation] as const, ["HEAD", operation] as const]
        : [[method, operation] as const],
    ),
  );

const choices = ({ alternatives, allowsAnonymous }: Operation) => alternatives.length + (allowsAnonymous ? 1 : 0);

/** It depends on the router which of them serves the request. */
const requireBoth = (one: Operation, other: Operation): Operation => ({ ...one, ...both(one, other) });
