/** Loads openapi.yaml, checks that this program can serve it, and computes what dispatch needs for each operation. */
import { readFile } from "node:fs/promises";
import { scopes as describedScopes } from "../../generated/scopes.ts";
import { security } from "../../generated/security.ts";
import { basePath } from "../http/basePath.ts";
import { securityHeaders } from "../http/securityHeaders.ts";
import { packageFile } from "../lib/package.ts";
import type { OperationId, Scheme } from "./binding.ts";
import {
  ContractError,
  type OpenApiBody,
  type OpenApiDocument,
  type OpenApiOperation,
  type OpenApiParameter,
  type OpenApiResponse,
  resolve,
  type ScalarType,
  type StringParameters,
  scalarTypeOf,
  stringParameters,
  typesOf,
  withoutReferences,
} from "./document.ts";
import { parseContract } from "./parseContract.ts";
import { formType } from "./requestBody.ts";

export type ParameterLocation = "query" | "path" | "header" | "cookie";
/** A parameter that is not a string. The type of a list is that of its items. */
export type ScalarParameter = { name: string; location: ParameterLocation; type: ScalarType; isList: boolean };

/** An optional cookie, whose values match the pattern as a whole. */
export type CookieParameter = { name: string; pattern: RegExp };

/** A response that an operation declares. */
export type DeclaredResponse = {
  /** Empty without a body. If there are several, `Accept` selects one. */
  contentTypes: readonly string[];
  isJson: boolean;
  /**
   * Alternating names and values of headers that do not depend on the request: the media type if there is only one, headers
   * with a `const` in the contract, and the security headers that the response does not declare itself.
   */
  fixedHeaders: readonly string[];
};

export type Operation = {
  id: OperationId;
  method: "get" | "put" | "post" | "delete" | "patch";
  /** As in the contract: `/api/users/{id}`. */
  path: string;
  schemes: readonly Scheme[];
  /** Whether it also serves requests without credentials, and without the required scopes. */
  isOptional: boolean;
  /** The scopes that it requires, with each of its schemes. */
  scopes: readonly string[];
  /** Names of the query parameters. */
  query: ReadonlySet<string>;
  /** Names of the header parameters. */
  headers: readonly string[];
  cookies: readonly CookieParameter[];
  /** Parameters that are numbers or booleans. */
  scalars: readonly ScalarParameter[];
  /** Media type of the request body; `undefined` without a body. */
  requestType: string | undefined;
  /** The schema of a form without references, and the names of its parameters; `undefined` for other bodies. */
  form: { schema: object; names: ReadonlySet<string> } | undefined;
  /** Whether a request without a body is invalid. */
  isBodyRequired: boolean;
  /** Whether a request has parameters or a body. */
  hasInput: boolean;
  /** The schemas of its parameters; `undefined` if there are others than optional strings in the query and in headers. */
  stringParameters: StringParameters | undefined;
  responses: ReadonlyMap<number, DeclaredResponse>;
  /** Whether its errors have the form of OAuth (RFC 6749, section 5.2), and are no problems. */
  hasOAuthErrors: boolean;
  /** Whether its errors are HTML pages. */
  hasErrorPages: boolean;
};

export type Contract = {
  /** The file, with the path of `PUBLIC_URL` in the types of problems. Requests and responses are validated against it. */
  document: OpenApiDocument;
  operations: readonly Operation[];
  /** The document for clients: the same, with `PUBLIC_URL` as its server if it is set. */
  published: { yaml(): Promise<string>; document: OpenApiDocument };
};

const rebuildAdvice = "Run `npm run generate` and `npm run build`.";
const methods = ["get", "put", "post", "delete", "patch"] as const;

/**
 * Loads the contract, and checks that this program can bind and guard all of it.
 * @throws {ContractError}
 */
export async function loadContract(file: string | URL, publicUrl: string | undefined): Promise<Contract> {
  const text = await readFile(file, "utf8");
  const document = (await parseContract(text, packageFile("dist/openapi.json"))) as OpenApiDocument;
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => bindOperation(document, path, method, operation)),
  );
  const generated = Object.keys(security).sort().join();
  if (
    generated !==
    operations
      .map(({ id }) => id)
      .sort()
      .join()
  ) {
    throw new ContractError(
      `The operations in openapi.yaml differ from those that this program was built with. ${rebuildAdvice}`,
    );
  }
  const published = publish(text, document, publicUrl);
  return { document: { ...published.document, servers: document.servers ?? [] }, operations, published };
}

/** Adds `PUBLIC_URL` as the server, and its path to the types of problems. */
function publish(text: string, document: OpenApiDocument, publicUrl: string | undefined): Contract["published"] {
  if (publicUrl === undefined) return { yaml: async () => text, document };
  const base = basePath(publicUrl);
  const withBase = (value: unknown) =>
    typeof value === "string" && value.startsWith("/problems/") ? base + value : value;
  const published = JSON.parse(JSON.stringify(document), (_key, value) => withBase(value)) as OpenApiDocument;
  published.servers = [{ ...published.servers?.[0], url: publicUrl }, ...(published.servers?.slice(1) ?? [])];
  return { yaml: () => publishedYaml(text, publicUrl, withBase), document: published };
}

/** The YAML text with the same changes. Its comments remain. */
async function publishedYaml(text: string, publicUrl: string, change: (value: unknown) => unknown): Promise<string> {
  const { parseDocument, visit } = await import("yaml");
  const published = parseDocument(text);
  published.setIn(["servers", 0, "url"], publicUrl);
  visit(published, {
    Scalar(key, node) {
      if (key !== "key") node.value = change(node.value);
    },
  });
  return published.toString();
}

function bindOperation(
  document: OpenApiDocument,
  path: string,
  method: string,
  operation: OpenApiOperation,
): Operation {
  const where = `${method.toUpperCase()} ${path}`;
  const id = operation.operationId;
  if (!isMethod(method)) throw new ContractError(`${where}: only ${methods.join(", ")} can be bound.`);
  if (!isOperationId(id))
    throw new ContractError(`${where}: this program was built without operationId ${id}. ${rebuildAdvice}`);
  if (!operation.security) throw new ContractError(`${where}: security is missing. Use [] for an open operation.`);
  if (JSON.stringify(operation.security) !== JSON.stringify(security[id])) {
    throw new ContractError(`${where}: this program was built with a different security. ${rebuildAdvice}`);
  }
  const body = resolve(document, operation.requestBody);
  const declaredParameters = (operation.parameters ?? []).map((parameter) => resolve(document, parameter));
  const cookies = declaredParameters.flatMap((parameter) => cookieOf(document, parameter));
  const names = new Set(cookies.map(({ name }) => name));
  const parameters = declaredParameters.filter((one) => one.in !== "cookie" || !names.has(one.name));
  const responses = new Map(
    Object.entries(operation.responses).map(([status, response]) => [
      Number(status),
      declared(document, resolve(document, response), where),
    ]),
  );
  return {
    id,
    method,
    path,
    ...guarded(operation.security, where),
    query: new Set(namesIn(parameters, "query")),
    headers: namesIn(parameters, "header"),
    cookies,
    scalars: parameters.flatMap(({ name, in: location, schema }) => {
      const type = scalarTypeOf(document, schema);
      const isList = typesOf(document, schema).includes("array");
      return type ? { name, location: location as ParameterLocation, type, isList } : [];
    }),
    requestType: body && onlyMediaType(body, where),
    form: body && formOf(document, { body, parameters }, where),
    isBodyRequired: body?.required ?? false,
    hasInput: body !== undefined || parameters.length > 0,
    stringParameters: body ? undefined : stringParameters(document, parameters),
    responses,
    hasOAuthErrors: responses.get(400)?.contentTypes[0] === "application/json",
    hasErrorPages: responses.get(400)?.contentTypes[0] === "text/html",
  };
}

type FormOperation = { body: OpenApiBody; parameters: OpenApiParameter[] };

/** formBody.ts supports forms of strings, without parameters elsewhere except cookies. */
function formOf(document: OpenApiDocument, { body, parameters }: FormOperation, where: string): Operation["form"] {
  const schema = body.content?.[formType]?.schema;
  if (!schema) return undefined;
  const members = Object.entries(resolve(document, schema).properties ?? {});
  const isSupported = members.every(([, schema]) => typesOf(document, schema).join() === "string");
  if (!body.required || parameters.length > 0 || !isSupported)
    throw new ContractError(`${where}: a form must be required, and may have strings only.`);
  return { schema: withoutReferences(document, schema), names: new Set(members.map(([name]) => name)) };
}

/** Reads cookies that are optional strings with a pattern. The validator reads all others. */
function cookieOf(
  document: OpenApiDocument,
  { name, in: location, required, schema }: OpenApiParameter,
): CookieParameter[] {
  const pattern = resolve(document, schema)?.pattern;
  if (location !== "cookie" || required || pattern === undefined) return [];
  return [{ name, pattern: new RegExp(pattern, "u") }];
}

const namesIn = (parameters: OpenApiParameter[], location: ParameterLocation): string[] =>
  parameters.filter((parameter) => parameter.in === location).map(({ name }) => name);

/** All bodies are UTF-8. */
export const inUtf8 = (contentType: string): string => `${contentType}; charset=utf-8`;

/** The guard supports alternatives of one scheme each, all with the same scopes, and `{}`. */
function guarded(
  security: Record<string, string[]>[],
  where: string,
): Pick<Operation, "schemes" | "scopes" | "isOptional"> {
  const alternatives = security.filter((requirement) => Object.keys(requirement).length > 0);
  const scopes = Object.values(alternatives[0] ?? {})[0] ?? [];
  const schemes = alternatives.map((requirement) => {
    const [[scheme, ownScopes] = ["", []], ...others] = Object.entries(requirement);
    if (others.length > 0 || !isScheme(scheme) || ownScopes.join() !== scopes.join()) {
      throw new ContractError(`${where}: the guard cannot check ${JSON.stringify(requirement)}.`);
    }
    return scheme;
  });
  const unknown = scopes.filter((scope) => !Object.hasOwn(describedScopes, scope));
  if (unknown.length > 0) throw new ContractError(`${where}: the scope ${unknown.join()} is not described.`);
  return { schemes, scopes, isOptional: alternatives.length < security.length };
}

const isScheme = (name: string): name is Scheme =>
  ["basicAuth", "bearerAuth", "apiKeyAuth", "clientAuth"].includes(name);

function declared(document: OpenApiDocument, response: OpenApiResponse, where: string): DeclaredResponse {
  const own = response.headers ?? {};
  const fixedHeaders = securityHeaders.filter(([name]) => own[name] === undefined).flat();
  for (const [name, reference] of Object.entries(own)) {
    const value = resolve(document, reference).schema?.const;
    if (value !== undefined) fixedHeaders.push(name, value);
  }
  const contentTypes = Object.keys(response.content ?? {});
  const [type, ...others] = contentTypes;
  if (others.length > 0 && own["ETag"] !== undefined) {
    throw new ContractError(`${where}: a body with an ETag must have one media type.`);
  }
  if (type && others.length === 0) fixedHeaders.push("Content-Type", inUtf8(type));
  return { contentTypes, isJson: others.length === 0 && isJsonType(type ?? ""), fixedHeaders };
}

export const isJsonType = (contentType: string): boolean => /[/+]json$/.test(contentType);

function onlyMediaType(body: OpenApiBody, where: string): string | undefined {
  const [type, ...others] = Object.keys(body.content ?? {});
  if (others.length > 0) throw new ContractError(`${where}: more than one media type for one body.`);
  return type;
}

const isMethod = (method: string): method is Operation["method"] => (methods as readonly string[]).includes(method);
const isOperationId = (id: string | undefined): id is OperationId => id !== undefined && Object.hasOwn(security, id);
