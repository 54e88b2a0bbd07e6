/** The parts of an OpenAPI document that this program reads. */
import { exitStatus, FatalError } from "../errors.ts";

export type ScalarType = "integer" | "number" | "boolean";

export type OpenApiDocument = {
  openapi: string;
  info: { title: string; version: string };
  servers?: { url: string }[];
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: Record<string, Record<string, unknown>>;
};
export type OpenApiOperation = {
  operationId?: string;
  security?: Record<string, string[]>[];
  parameters?: (OpenApiParameter | Reference)[];
  requestBody?: OpenApiBody | Reference;
  responses: Record<string, OpenApiResponse | Reference>;
};
export type OpenApiParameter = {
  name: string;
  in: string;
  required?: boolean;
  allowReserved?: boolean;
  schema?: OpenApiSchema | Reference;
};
export type OpenApiSchema = {
  type?: string | string[];
  pattern?: string;
  properties?: Record<string, OpenApiSchema | Reference>;
  items?: OpenApiSchema | Reference;
  allOf?: (OpenApiSchema | Reference)[];
  anyOf?: (OpenApiSchema | Reference)[];
  oneOf?: (OpenApiSchema | Reference)[];
};
export type OpenApiBody = { required?: boolean; content?: Record<string, { schema?: OpenApiSchema | Reference }> };
export type OpenApiResponse = OpenApiBody & { headers?: Record<string, OpenApiHeader | Reference> };
export type OpenApiHeader = { schema?: { const?: string } };
export type Reference = { $ref: string };

/** The contract cannot be served. This is an error in this project, found at startup. */
export class ContractError extends FatalError {
  readonly exitStatus = exitStatus.software;
}

/** The schemas of strings in the query and in headers. The names of headers are in lower case. */
export type StringParameters = {
  query: Record<string, object>;
  headers: Record<string, object>;
  /** The names of the query parameters that are required. */
  required: readonly string[];
};

/** @returns `undefined` if one of the parameters needs more than its schema: a conversion, or a check of its encoding */
export function stringParameters(
  document: OpenApiDocument,
  parameters: OpenApiParameter[],
): StringParameters | undefined {
  const isPlain = ({ in: location, required, allowReserved, schema }: OpenApiParameter) =>
    (location === "query" ? allowReserved : location === "header" && !required) &&
    typesOf(document, schema).join() === "string";
  if (parameters.length === 0 || !parameters.every(isPlain)) return undefined;
  const schemasIn = (location: string) => parameters.filter((one) => one.in === location);
  return {
    query: Object.fromEntries(schemasIn("query").map(({ name, schema = {} }) => [name, schema])),
    headers: Object.fromEntries(schemasIn("header").map(({ name, schema = {} }) => [name.toLowerCase(), schema])),
    required: schemasIn("query").flatMap(({ name, required }) => (required ? [name] : [])),
  };
}

/** @returns `undefined` for a value that may be a string */
export function scalarTypeOf(
  document: OpenApiDocument,
  schema: OpenApiSchema | Reference | undefined,
): ScalarType | undefined {
  const types = typesOf(document, schema);
  if (types.includes("string")) return undefined;
  return (["number", "integer", "boolean"] as const).find((name) => types.includes(name));
}

/** The types that a value, or an item of an array, may have. */
export function typesOf(document: OpenApiDocument, schema: OpenApiSchema | Reference | undefined): string[] {
  const { type, items, allOf = [], anyOf = [], oneOf = [] } = resolve(document, schema) ?? {};
  const parts = [...allOf, ...anyOf, ...oneOf, ...(items ? [items] : [])];
  return [type ?? [], ...parts.map((part) => typesOf(document, part))].flat();
}

/** @returns a copy of a part of a document, with what its references refer to in their place */
export const withoutReferences = (document: OpenApiDocument, part: object) =>
  JSON.parse(
    JSON.stringify(part, (_name, value: unknown) =>
      typeof value === "object" && value !== null ? resolve(document, value) : value,
    ),
  );

export function resolve<T extends object>(document: OpenApiDocument, value: T | Reference): T;
export function resolve<T extends object>(document: OpenApiDocument, value: T | Reference | undefined): T | undefined;
export function resolve(document: OpenApiDocument, value: object | undefined): unknown {
  if (!value || !("$ref" in value)) return value;
  const [, section = "", name = ""] = /^#\/components\/(\w+)\/([\w-]+)$/.exec(String(value.$ref)) ?? [];
  const found = document.components[section]?.[name];
  if (!found) throw new ContractError(`${String(value.$ref)} does not exist.`);
  return found;
}
