/** The requests that the contract describes: each operation with values for its parameters. */

import { type Contract, type Operation, parseContract } from "../../../packages/verify/src/contract/contract.ts";
import { isObject, type Members, member, resolve } from "../../../packages/verify/src/contract/document.ts";
import { basePathsOf } from "../../../packages/verify/src/contract/servers.ts";

export type Target = {
  operation: Operation;
  /** Such as `GET /orders/{id}`. */
  name: string;
  method: string;
  /** With the base path, and with values for the parameters. */
  path: string;
  /** The required parameters of the query, with the `?`. */
  query: string;
};

export type Targets = {
  contract: Contract;
  /** The operations that need a credential. */
  guarded: Target[];
  /** Those that serve everyone. */
  open: Target[];
};

/**
 * @param basePath the path of the URL of the service; `""` takes that of the document's first server
 * @throws {ContractError}
 */
export function readTargets(document: unknown, basePath: string): Targets {
  const root = isObject(document) ? document : {};
  const contract = parseContract(document, basePath === "" ? {} : { basePath });
  const [first = ""] = basePath === "" ? basePathsOf(member(root, "servers"), "The document") : [basePath];
  const targets = contract.operations.map((operation) => targetOf(root, operation, first));
  return {
    contract,
    guarded: targets.filter(({ operation }) => !operation.allowsAnonymous),
    open: targets.filter(({ operation }) => operation.allowsAnonymous),
  };
}

/** The methods that change nothing (RFC 9110, section 9.2.1). */
export const isSafe = (method: string): boolean => ["GET", "HEAD", "OPTIONS", "TRACE"].includes(method);

function targetOf(root: Members, operation: Operation, basePath: string): Target {
  const { method, path } = operation;
  const paths = member(root, "paths");
  const item = resolve(root, isObject(paths) ? member(paths, path) : undefined, path);
  const declared = member(item, method.toLowerCase());
  const parameters = new Map<string, Members>();
  for (const holder of [item, isObject(declared) ? declared : {}]) {
    const list = member(holder, "parameters");
    for (const value of Array.isArray(list) ? list : []) {
      const parameter = resolve(root, value, `${method} ${path}`);
      parameters.set(`${member(parameter, "in")} ${member(parameter, "name")}`, parameter);
    }
  }
  const textFor = (parameter: Members) => encode(exampleOf(root, parameter));
  const literal = path.replace(/[^\x21-\x7e]/gu, encode);
  const filled = literal.replace(/\{([^{}]+)\}/g, (_, name) => textFor(parameters.get(`path ${name}`) ?? {}));
  const query = [...parameters.values()]
    .filter((parameter) => member(parameter, "in") === "query" && member(parameter, "required") === true)
    .map((parameter) => `${encode(String(member(parameter, "name")))}=${textFor(parameter)}`);
  const queryText = query.length > 0 ? `?${query.join("&")}` : "";
  return { operation, name: `${method} ${path}`, method, path: basePath + filled, query: queryText };
}

/** The contract may have half of a surrogate pair, for which `encodeURIComponent` throws. */
const encode = (text: string): string => encodeURIComponent(text.toWellFormed());

/** A value that the contract gives for a parameter, or else one of its type. */
function exampleOf(root: Members, parameter: Members): string {
  const schema = isObject(member(parameter, "schema")) ? resolve(root, member(parameter, "schema"), "schema") : {};
  const examples = member(parameter, "examples");
  const [named] = isObject(examples) ? Object.values(examples) : [];
  const listed = member(schema, "examples");
  const values = member(schema, "enum");
  const given = [
    member(parameter, "example"),
    isObject(named) ? member(resolve(root, named, "example"), "value") : undefined,
    member(schema, "example"),
    Array.isArray(listed) ? listed[0] : undefined,
    member(schema, "default"),
    Array.isArray(values) ? values[0] : member(schema, "const"),
  ].find((value) => ["string", "number", "boolean"].includes(typeof value));
  if (given !== undefined) return String(given);
  const type = member(schema, "type");
  if (type === "integer" || type === "number") return String(member(schema, "minimum") ?? 1);
  if (type === "boolean") return "true";
  return member(schema, "format") === "uuid" ? "00000000-0000-4000-8000-000000000000" : "1";
}
