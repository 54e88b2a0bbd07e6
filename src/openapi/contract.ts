/**
 * The contract as the program reads it: openapi.yaml, checked for being bindable, and what
 * dispatch needs to know about each operation, computed once.
 */
import { readFile } from "node:fs/promises";
import { security } from "../../generated/security.ts";
import { exitStatus, FatalError } from "../errors.ts";
import { basePath } from "../http/basePath.ts";
import { securityHeaders } from "../http/securityHeaders.ts";
import { packageFile } from "../lib/package.ts";
import type { OperationId, Scheme } from "./binding.ts";
import { parseContract } from "./parseContract.ts";

export type ScalarType = "integer" | "number" | "boolean";
export type ParameterPlace = "query" | "path" | "header" | "cookie";
/** A parameter that is not text. Of a list, the type is that of its items. */
export type ScalarParameter = { name: string; place: ParameterPlace; type: ScalarType; isList: boolean };

/** What one declared answer looks like. */
export type DeclaredResponse = {
  /** The media types that it can be given in: none where the body is empty, several where `Accept` decides. */
  contentTypes: readonly string[];
  isJson: boolean;
  /**
   * Names and values in turn of what is the same each time, and written by dispatch, not by handlers: its type where there is
   * one, what the contract fixes with `const`, and the security headers but for those of which it declares its own.
   */
  fixedHeaders: readonly string[];
};

export type Operation = {
  id: OperationId;
  method: "get" | "put" | "post" | "delete" | "patch";
  /** As in the contract: `/api/users/{id}`. */
  path: string;
  schemes: readonly Scheme[];
  /** The names of its parameters in the query. */
  query: ReadonlySet<string>;
  /** Its parameters that are numbers or booleans. */
  scalars: readonly ScalarParameter[];
  /** The one media type of the request's body; `undefined` where there is none. */
  requestType: string | undefined;
  /** Whether a request has anything beside its credentials: parameters or a body. */
  hasInput: boolean;
  responses: ReadonlyMap<number, DeclaredResponse>;
};

export type Contract = {
  /** What requests and responses are validated against: as it is written, but for the path of `PUBLIC_URL` in problem types. */
  document: OpenApiDocument;
  operations: readonly Operation[];
  /** As it is shown to clients: the same, with `PUBLIC_URL` as its server, where that is set. */
  published: { yaml(): Promise<string>; document: OpenApiDocument };
};

/** As much of OpenAPI as is looked at here. References are resolved on the way. */
export type OpenApiDocument = {
  openapi: string;
  info: { title: string; version: string };
  servers?: { url: string }[];
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: Record<string, Record<string, unknown>>;
};
type OpenApiOperation = {
  operationId?: string;
  security?: Record<string, string[]>[];
  parameters?: (OpenApiParameter | Reference)[];
  requestBody?: OpenApiBody | Reference;
  responses: Record<string, OpenApiResponse | Reference>;
};
type OpenApiParameter = { name: string; in: string; schema?: OpenApiSchema | Reference };
type OpenApiSchema = {
  type?: string | string[];
  items?: OpenApiSchema | Reference;
  allOf?: (OpenApiSchema | Reference)[];
  anyOf?: (OpenApiSchema | Reference)[];
  oneOf?: (OpenApiSchema | Reference)[];
};
type OpenApiBody = { content?: Record<string, unknown> };
type OpenApiResponse = OpenApiBody & { headers?: Record<string, OpenApiHeader | Reference> };
type OpenApiHeader = { schema?: { const?: string } };
type Reference = { $ref: string };

/** The contract cannot be served. A fault of this project, found before the first request. */
export class ContractError extends FatalError {
  readonly exitStatus = exitStatus.software;
}

const howToCatchUp = "Run `npm run generate` and `npm run build`.";
const methods = ["get", "put", "post", "delete", "patch"] as const;

/**
 * Reads the contract and refuses what could not be bound: better no service than one with an
 * operation that nobody guards.
 * @throws {ContractError}
 */
export async function loadContract(file: string | URL, publicUrl: string | undefined): Promise<Contract> {
  const text = await readFile(file, "utf8");
  const document = (await parseContract(text, packageFile("dist/openapi.json"))) as OpenApiDocument;
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => bindable(document, path, method, operation)),
  );
  const generated = Object.keys(security).sort().join();
  if (
    generated !==
    operations
      .map(({ id }) => id)
      .sort()
      .join()
  ) {
    throw new ContractError(`openapi.yaml has other operations than this program was built for. ${howToCatchUp}`);
  }
  const published = publish(text, document, publicUrl);
  return { document: { ...published.document, servers: document.servers ?? [] }, operations, published };
}

/** With `PUBLIC_URL` as the server, and its path before the types of the problems. */
function publish(text: string, document: OpenApiDocument, publicUrl: string | undefined): Contract["published"] {
  if (publicUrl === undefined) return { yaml: async () => text, document };
  const base = basePath(publicUrl);
  const withBase = (value: unknown) =>
    typeof value === "string" && value.startsWith("/problems/") ? base + value : value;
  const published = JSON.parse(JSON.stringify(document), (_key, value) => withBase(value)) as OpenApiDocument;
  published.servers = [{ ...published.servers?.[0], url: publicUrl }, ...(published.servers?.slice(1) ?? [])];
  return { yaml: () => publishedYaml(text, publicUrl, withBase), document: published };
}

/** The text as it is written, comments included, with the same changes. */
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

function bindable(document: OpenApiDocument, path: string, method: string, operation: OpenApiOperation): Operation {
  const where = `${method.toUpperCase()} ${path}`;
  const id = operation.operationId;
  if (!isMethod(method)) throw new ContractError(`${where}: only ${methods.join(", ")} can be bound.`);
  if (!isOperationId(id))
    throw new ContractError(`${where}: this program was built without operationId ${id}. ${howToCatchUp}`);
  if (!operation.security) throw new ContractError(`${where}: security must be said, [] where it is open.`);
  if (JSON.stringify(operation.security) !== JSON.stringify(security[id])) {
    throw new ContractError(`${where}: this program was built for another security. ${howToCatchUp}`);
  }
  const body = resolve(document, operation.requestBody);
  const parameters = (operation.parameters ?? []).map((parameter) => resolve(document, parameter));
  return {
    id,
    method,
    path,
    schemes: operation.security.map((requirement) => schemeOf(requirement, where)),
    query: new Set(parameters.filter(({ in: place }) => place === "query").map(({ name }) => name)),
    scalars: parameters.flatMap(({ name, in: place, schema }) => {
      const type = scalarTypeOf(document, schema);
      const isList = typesOf(document, schema).includes("array");
      return type ? { name, place: place as ParameterPlace, type, isList } : [];
    }),
    requestType: body && onlyMediaType(body, where),
    hasInput: body !== undefined || parameters.length > 0,
    responses: new Map(
      Object.entries(operation.responses).map(([status, response]) => [
        Number(status),
        declared(document, resolve(document, response), where),
      ]),
    ),
  };
}

/** @returns `undefined` for text, and what may be text */
function scalarTypeOf(
  document: OpenApiDocument,
  schema: OpenApiSchema | Reference | undefined,
): ScalarType | undefined {
  const types = typesOf(document, schema);
  if (types.includes("string")) return undefined;
  return (["number", "integer", "boolean"] as const).find((name) => types.includes(name));
}

/** The types that a value, or an item of an array, may have. */
function typesOf(document: OpenApiDocument, schema: OpenApiSchema | Reference | undefined): string[] {
  const { type, items, allOf = [], anyOf = [], oneOf = [] } = resolve(document, schema) ?? {};
  const parts = [...allOf, ...anyOf, ...oneOf, ...(items ? [items] : [])];
  return [type ?? [], ...parts.map((part) => typesOf(document, part))].flat();
}

/** All bodies are UTF-8. */
export const inUtf8 = (contentType: string): string => `${contentType}; charset=utf-8`;

/** One scheme without scopes an alternative: what the guard checks, and nothing that it would overlook. */
function schemeOf(requirement: Record<string, string[]>, where: string): Scheme {
  const [[scheme, scopes] = ["", []], ...others] = Object.entries(requirement);
  if (others.length > 0 || scopes.length > 0 || (scheme !== "basicAuth" && scheme !== "bearerAuth")) {
    throw new ContractError(`${where}: the guard cannot check ${JSON.stringify(requirement)}.`);
  }
  return scheme;
}

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
    throw new ContractError(`${where}: a body with an ETag is prepared in one media type.`);
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

function resolve<T extends object>(document: OpenApiDocument, value: T | Reference): T;
function resolve<T extends object>(document: OpenApiDocument, value: T | Reference | undefined): T | undefined;
function resolve(document: OpenApiDocument, value: object | undefined): unknown {
  if (!value || !("$ref" in value)) return value;
  const [, section = "", name = ""] = /^#\/components\/(\w+)\/([\w-]+)$/.exec(String(value.$ref)) ?? [];
  const found = document.components[section]?.[name];
  if (!found) throw new ContractError(`${String(value.$ref)} does not lead anywhere.`);
  return found;
}

const isMethod = (method: string): method is Operation["method"] => (methods as readonly string[]).includes(method);
const isOperationId = (id: string | undefined): id is OperationId => id !== undefined && Object.hasOwn(security, id);
