/** The types of the contract for the documentation. References are resolved on access. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";

export type Schema = { $ref?: string; format?: string; enum?: string[]; const?: string; allOf?: Schema[] } & {
  properties?: Record<string, Schema>;
  items?: Schema;
  example?: unknown;
  default?: unknown;
};
type Example = { $ref?: string; value?: unknown };
type Examples = { example?: unknown; examples?: Record<string, Example> };
type Content = Record<string, { schema?: Schema } & Examples>;
type Parameter = { $ref?: string; name: string; in: string; required?: boolean; schema?: Schema } & Examples;
export type Response = { $ref?: string; description: string; content?: Content };
export type Operation = {
  operationId: string;
  tags: [string];
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { $ref?: string; required?: boolean; content: Content };
  responses: Record<string, Response>;
  "x-codeSamples"?: { lang: string; label: string; source: string }[];
};
type Tag = { name: string; description: string; "x-displayName"?: string };
export type Contract = {
  info: { title: string; description: string };
  tags: Tag[];
  paths: Record<string, Record<string, Operation>>;
  components: { responses: Record<string, Response> };
  "x-tagGroups"?: { name: string; tags: string[] }[];
};

export const readContract = async (): Promise<Contract> => parse(await readFile("openapi.yaml", "utf8")) as Contract;

/** Every operation with its method and its path. */
export const operationsOf = (contract: Contract): { method: string; path: string; operation: Operation }[] =>
  Object.entries(contract.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation })),
  );

/** Whether an operation is for browsers: its errors are pages. */
export const isPage = (contract: Contract, { responses }: Operation): boolean =>
  "text/html" in (resolve(contract, responses["400"] ?? { description: "" }).content ?? {});

/** Follows a reference within the contract, if it is one. */
export function resolve<T extends { $ref?: string }>(contract: Contract, value: T): T {
  if (value.$ref === undefined) return value;
  const found = value.$ref
    .split("/")
    .slice(1)
    .reduce<unknown>((place, key) => (place as Record<string, unknown> | undefined)?.[key], contract);
  if (found === undefined) throw new Error(`${value.$ref} has no target.`);
  return resolve(contract, found as T);
}

/** The first example of a parameter or a body, or of its schema; `undefined` if there is none. */
export function exampleOf(
  contract: Contract,
  { example, examples = {}, schema = {} }: Examples & { schema?: Schema },
): unknown {
  const [first] = Object.values(examples);
  const own = resolve(contract, schema);
  return example ?? (first && resolve(contract, first).value) ?? own.example ?? own.default;
}

/** The members of a schema, including those of its `allOf`. */
export function membersOf(contract: Contract, schema: Schema): Record<string, Schema> {
  const { properties = {}, allOf = [] } = resolve(contract, schema);
  return Object.assign({}, ...allOf.map((part) => membersOf(contract, part)), properties);
}

/** The link to an operation on the page. */
export const linkTo = ({ tags: [tag], operationId }: Operation): string => `#/${tag}/${operationId}`.toLowerCase();
