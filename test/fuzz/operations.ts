/** The contract as the fuzzer reads it: what each operation takes, what proves who may call it, and what its successes give. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { OpenApiDocument as Contract } from "../../src/contract/contract.ts";

/** As much of JSON Schema as inputs are made from. References are followed by `Api.resolve`. */
export type Schema = {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  format?: string;
  pattern?: string;
  example?: unknown;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
};

export type Parameter = { name: string; in: string; required?: boolean; schema: Schema };

export type Operation = {
  id: string;
  /** In upper case. */
  method: string;
  path: string;
  /** What proves who is calling; none where anybody may. */
  schemes: ("basic" | "bearer")[];
  parameters: Parameter[];
  body: { type: string; schema: Schema } | undefined;
  /** The members of its successes, at any depth, by name and by kind: what a later request may be made of. */
  givesNamed: Set<string>;
  gives: Set<string>;
};

export type Api = {
  contract: Contract;
  /** The contract's text: what is written there is no secret. */
  text: string;
  operations: Operation[];
  /** The operation that a request is for, as it is routed. */
  find(method: string, target: string): Operation | undefined;
  /** The open operation that takes a username and a password, and makes a user of them. */
  registration: Operation | undefined;
  resolve(schema: Schema): Schema;
};

type Document = {
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: Record<string, Record<string, unknown>>;
};
type Content = { content?: Record<string, { schema: Schema }> };
type OpenApiOperation = {
  operationId: string;
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: Content;
  responses: Record<string, Content>;
};

/** `access_token` and `token` are both a token, `next_cursor` is a cursor: what one gives, the other may take. */
export const kindOf = (name: string): string => name.slice(name.lastIndexOf("_") + 1);

/** Whether a member of this name is never to be said back, unless the contract declares that. */
export const isSecret = (name: string): boolean => ["password", "token"].includes(kindOf(name));

export function readApi(file: string): Api {
  const text = readFileSync(file, "utf8");
  const document = parse(text) as Document;
  const follow = <T extends object>(value: T): T => {
    const reference = (value as { $ref?: string }).$ref;
    if (reference === undefined) return value;
    const [, section = "", name = ""] = /^#\/components\/(\w+)\/([\w-]+)$/.exec(reference) ?? [];
    return follow(document.components[section]?.[name] as T);
  };

  const schemeOf = (requirement: Record<string, string[]>) => {
    const [name = ""] = Object.keys(requirement);
    const declared = document.components["securitySchemes"]?.[name] as { scheme?: string } | undefined;
    const scheme = declared?.scheme;
    if (scheme !== "basic" && scheme !== "bearer") throw new Error(`${name}: no credentials are known for it.`);
    return scheme;
  };
  const schemaOf = (content: Content) => Object.entries(content.content ?? {})[0];

  const membersOf = (schema: Schema, seen = new Set<Schema>()): string[] => {
    const resolved = follow(schema);
    if (seen.has(resolved)) return [];
    seen.add(resolved);
    const { properties = {}, items, allOf = [], oneOf = [], anyOf = [] } = resolved;
    const inner = [...Object.values(properties), ...allOf, ...oneOf, ...anyOf, ...(items ? [items] : [])];
    return [...Object.keys(properties), ...inner.flatMap((part) => membersOf(part, seen))];
  };

  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): Operation => {
      const [type, body] = schemaOf(follow(operation.requestBody ?? {})) ?? [];
      const successes = Object.entries(operation.responses).filter(([status]) => status.startsWith("2"));
      const given = successes.flatMap(([, response]) => {
        const [mediaType = "", { schema } = { schema: {} }] = schemaOf(follow(response)) ?? [];
        return mediaType.endsWith("json") ? membersOf(schema) : [];
      });
      return {
        id: operation.operationId,
        method: method.toUpperCase(),
        path,
        schemes: operation.security.map(schemeOf),
        parameters: (operation.parameters ?? []).map(follow),
        body: type && body ? { type, schema: body.schema } : undefined,
        givesNamed: new Set(given),
        gives: new Set(given.map(kindOf)),
      };
    }),
  );

  const routes = [...new Set(operations.map(({ path }) => path))]
    .sort((a, b) => Number(a.includes("{")) - Number(b.includes("{")))
    .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+")}$`) }));
  const takes = (operation: Operation, name: string) =>
    operation.body !== undefined && name in (follow(operation.body.schema).properties ?? {});

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
