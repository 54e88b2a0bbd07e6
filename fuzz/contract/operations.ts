/** The contract as the fuzzer reads it: what each operation takes, which credentials it accepts, and what it returns. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { OpenApiDocument as Contract } from "../../src/openapi/document.ts";

/** The part of JSON Schema from which values are generated. `Api.resolve` follows references. */
export type Schema = {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  format?: string;
  pattern?: string;
  example?: unknown;
  examples?: unknown[];
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
};

/** The operations to which other sites send browsers. They ignore unknown parameters. The POSTs accept a form of any origin. */
export const navigations: readonly string[] = [
  "authorize",
  "submitAuthorizationRequest",
  "getSignOutPage",
  "submitSignOutRequest",
];

type Examples = Record<string, { $ref?: string; value?: unknown }>;

export type Parameter = {
  name: string;
  in: string;
  required?: boolean;
  schema: Schema;
  /** The examples of the contract: those of the parameter, then those of its schema. */
  examples: unknown[];
};

export type Operation = {
  id: string;
  /** In upper case. */
  method: string;
  path: string;
  /** The accepted credentials. None if everyone may call, with or without credentials. */
  schemes: ("basic" | "bearer")[];
  /** Those that requests usually send: also where they are optional, unless the contract lists `{}` first. */
  usualSchemes: ("basic" | "bearer")[];
  /** Whether it accepts an API key as well, wherever it accepts a token. */
  acceptsApiKeys: boolean;
  /** The scopes that it requires. None if everyone may call. */
  scopes: string[];
  parameters: Parameter[];
  /** `examples` are complete bodies. */
  body: { type: string; schema: Schema; examples: unknown[]; required: boolean } | undefined;
  statuses: number[];
  /** The members of its 2xx responses at any depth, by name and by kind. Later requests use their values. */
  returnedNames: Set<string>;
  returnedKinds: Set<string>;
};

export type Api = {
  contract: Contract;
  /** The text of the contract. A value that occurs in it is no secret. */
  text: string;
  operations: Operation[];
  /** Returns the operation of a request. */
  find(method: string, target: string): Operation | undefined;
  /** The operation that registers users: it takes a username and a password without credentials. */
  registration: Operation | undefined;
  resolve(schema: Schema): Schema;
};

type Document = {
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: Record<string, Record<string, unknown>>;
};
type Content = { required?: boolean; content?: Record<string, MediaType> };
type MediaType = { schema: Schema; example?: unknown; examples?: Examples };
type OpenApiParameter = Omit<Parameter, "examples"> & { example?: unknown; examples?: Examples };
type OpenApiOperation = {
  operationId: string;
  security: Record<string, string[]>[];
  parameters?: OpenApiParameter[];
  requestBody?: Content;
  responses: Record<string, Content>;
};

/** The kind of a member: `access_token` and `token` are tokens, `next_cursor` is a cursor. */
export const kindOf = (name: string): string => name.slice(name.lastIndexOf("_") + 1);

/** Whether a member should have a value of an earlier response, because it refers to something or authenticates. */
export const isReference = (name: string): boolean =>
  ["id", "token", "key", "cursor", "slug", "username", "password"].includes(kindOf(name)) && !name.startsWith("new_");

/** The examples of a schema itself. */
export const examplesOf = ({ example, examples = [] }: Schema): unknown[] => [
  ...(example !== undefined ? [example] : []),
  ...examples,
];

/** Whether no response may repeat a member of this name, unless the contract declares it. */
export const isSecret = (name: string): boolean => ["password", "token", "key"].includes(kindOf(name));

export function readApi(file: string): Api {
  const text = readFileSync(file, "utf8");
  const document = parse(text) as Document;
  const follow = <T extends object>(value: T): T => {
    const reference = (value as { $ref?: string }).$ref;
    if (reference === undefined) return value;
    const [, section = "", name = ""] = /^#\/components\/(\w+)\/([\w-]+)$/.exec(reference) ?? [];
    return follow(document.components[section]?.[name] as T);
  };

  const isEmpty = (requirement: object) => Object.keys(requirement).length === 0;
  const schemeOf = (requirement: Record<string, string[]>) => {
    const [name = ""] = Object.keys(requirement);
    const declared = document.components["securitySchemes"]?.[name] as { scheme?: string } | undefined;
    const scheme = declared?.scheme;
    if (scheme !== "basic" && scheme !== "bearer") throw new Error(`${name}: unsupported security scheme.`);
    return scheme;
  };
  const isApiKeyScheme = (name: string) =>
    (document.components["securitySchemes"]?.[name] as { bearerFormat?: string } | undefined)?.bearerFormat ===
    "API key";
  const schemaOf = (content: Content) => Object.entries(content.content ?? {})[0];
  const valuesOf = ({ example, examples = {} }: { example?: unknown; examples?: Examples }): unknown[] => [
    ...(example !== undefined ? [example] : []),
    ...Object.values(examples).map((one) => follow(one).value),
  ];

  const membersOf = (schema: Schema, seen = new Set<Schema>()): string[] => {
    const resolved = follow(schema);
    if (seen.has(resolved)) return [];
    seen.add(resolved);
    const { properties = {}, items, allOf = [], oneOf = [], anyOf = [] } = resolved;
    const inner = [...Object.values(properties), ...allOf, ...oneOf, ...anyOf, ...(items ? [items] : [])];
    // A `token` that is a URI is a link, not a token.
    const names = Object.keys(properties).filter((name) => !/^uri/.test(follow(properties[name] ?? {}).format ?? ""));
    return [...names, ...inner.flatMap((part) => membersOf(part, seen))];
  };

  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): Operation => {
      const requestBody = follow(operation.requestBody ?? {});
      const [type, body] = schemaOf(requestBody) ?? [];
      const successes = Object.entries(operation.responses).filter(([status]) => status.startsWith("2"));
      // The requirement {} makes credentials optional. A token and an API key are sent with the same scheme.
      const offered = operation.security.filter((one) => !isEmpty(one));
      const required = operation.security.some(isEmpty) ? [] : offered;
      const given = successes.flatMap(([, response]) => {
        const [mediaType = "", { schema } = { schema: {} }] = schemaOf(follow(response)) ?? [];
        return mediaType.endsWith("json") ? membersOf(schema) : [];
      });
      return {
        id: operation.operationId,
        method: method.toUpperCase(),
        path,
        schemes: [...new Set(required.map(schemeOf))],
        usualSchemes: isEmpty(operation.security[0] ?? {}) ? [] : [...new Set(offered.map(schemeOf))],
        acceptsApiKeys: required.some((one) => Object.keys(one).some(isApiKeyScheme)),
        scopes: Object.values(required.at(-1) ?? {}).flat(),
        parameters: (operation.parameters ?? []).map(follow).map((parameter) => ({
          ...parameter,
          examples: [...valuesOf(parameter), ...examplesOf(follow(parameter.schema))],
        })),
        body:
          type && body
            ? { type, schema: body.schema, examples: valuesOf(body), required: requestBody.required === true }
            : undefined,
        statuses: Object.keys(operation.responses).map(Number),
        returnedNames: new Set(given),
        returnedKinds: new Set(given.map(kindOf)),
      };
    }),
  );

  const routes = [...new Set(operations.map(({ path }) => path))]
    .sort((a, b) => Number(a.includes("{")) - Number(b.includes("{")))
    .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+")}$`) }));
  const takes = (operation: Operation, name: string) =>
    operation.body !== undefined && membersOf(operation.body.schema).includes(name);

  return {
    contract: document as unknown as Contract,
    text,
    operations,
    find(method, target) {
      const path = target.replace(/^http:\/\/[^/]*/, "").split("?")[0] ?? "";
      const route = routes.find(({ pattern }) => pattern.test(path));
      const asked = method === "HEAD" ? "GET" : method;
      return operations.find((operation) => operation.path === route?.path && operation.method === asked);
    },
    registration: operations.find(
      (operation) => operation.schemes.length === 0 && takes(operation, "username") && takes(operation, "password"),
    ),
    resolve: follow,
  };
}

/** Whether only some users have the scopes of an operation. Every user has those for the own account and identity. */
export const needsRights = ({ scopes }: Operation): boolean =>
  scopes.some((scope) => !scope.startsWith("account:") && scope !== "openid");

/**
 * Returns the operation that creates what a path parameter refers to: a POST to the collection or a PUT to the item, or the
 * same for another collection of that name, if this one has none.
 */
export function creatorOf({ operations }: Api, { path }: Operation, name: string): Operation | undefined {
  const at = path.indexOf(`/{${name}}`);
  if (at < 0) return undefined;
  const collectionOf = (one: Operation) => (one.method === "PUT" ? one.path.replace(/\/\{\w+\}$/, "") : one.path);
  const creators = operations.filter(
    ({ method, statuses }) => ["POST", "PUT"].includes(method) && statuses.includes(201),
  );
  const collection = path.slice(0, at);
  return (
    creators.find((one) => collectionOf(one) === collection) ??
    creators.find((one) => collectionOf(one).endsWith(collection.slice(collection.lastIndexOf("/"))))
  );
}

/** Whether a parameter should have a value of an earlier response. */
export const refers = (api: Api, operation: Operation, name: string): boolean =>
  isReference(name) || creatorOf(api, operation, name) !== undefined;

/**
 * Returns the operations that return values for a member of `taker`, the best match first. There are none if `taker` itself
 * creates what the member names.
 */
export function sourcesOf(api: Api, taker: Operation, name: string): Operation[] {
  const { operations } = api;
  const creator = creatorOf(api, taker, name);
  if (creator === taker) return [];
  const fitness = (one: Operation) =>
    (one === creator ? 1000 : 0) +
    (one.returnedNames.has(name) ? 100 : 0) +
    10 * commonSegments(taker, one) -
    one.parameters.length -
    (one.body ? 1 : 0);
  return operations
    .filter((one) => one !== taker && one.returnedKinds.has(kindOf(name)))
    .sort((a, b) => fitness(b) - fitness(a));
}

/** The number of path segments that two operations have in common. */
function commonSegments(a: Operation, b: Operation): number {
  const [one, other] = [a.path.split("/"), b.path.split("/")];
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? one.length : at;
}
