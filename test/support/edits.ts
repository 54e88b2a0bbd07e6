/** Edits of the contract, for the tests of its checks. */
import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { Document, parse } from "yaml";

export type Edit = (contract: Document) => void;

/** The paths that the edits need. With all paths, each check of an edited contract would take three times as long. */
const keptPaths = [
  "/api/users",
  "/api/users/me",
  "/api/users/me/password",
  "/api/users/{id}",
  "/api/token",
  "/api/sessions",
  "/api/sessions/{id}",
  "/api/audit-events",
  "/api/resource",
  "/.well-known/jwks.json",
  "/oauth/revoke",
  "/livez",
  "/readyz",
  "/docs",
  "/problems/{slug}",
];

/** A part of the contract that is complete: it has all that its paths use, and nothing else. */
export const original = new Document(partOf(parse(await readFile("openapi.yaml", "utf8")), keptPaths), {
  aliasDuplicateObjects: false,
});

type Contract = {
  tags: { name: string }[];
  paths: Record<string, object>;
  components: Record<string, Record<string, unknown>>;
};

function partOf(contract: Contract, names: readonly string[]): Contract {
  const { components } = contract;
  const paths = pick(contract.paths, (name) => names.includes(name));
  const references = new Set<string>();
  const collect = (value: unknown): void => {
    for (const [, reference = ""] of JSON.stringify(value).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)) {
      const [kind = "", name = ""] = reference.split("/");
      if (references.has(reference)) continue;
      references.add(reference);
      collect(components[kind]?.[name]);
    }
  };
  collect(paths);
  const text = JSON.stringify(paths);
  const parts = Object.entries(components).map(([kind, members]) => {
    const isUsed = (name: string) => kind === "securitySchemes" || references.has(`${kind}/${name}`);
    return [kind, pick(members, isUsed)] as const;
  });
  const { oauth2, ...schemes } = components["securitySchemes"] as { oauth2: OAuth2 };
  const { tokenUrl, scopes } = oauth2.flows.clientCredentials;
  const clientCredentials = { tokenUrl, scopes: pick(scopes, (scope) => text.includes(`["${scope}"]`)) };
  return {
    ...contract,
    tags: contract.tags.filter(({ name }) => text.includes(`"tags":["${name}"]`)),
    paths,
    components: {
      ...Object.fromEntries(parts),
      securitySchemes: { ...schemes, oauth2: { ...oauth2, flows: { clientCredentials } } },
    },
  };
}

type OAuth2 = { flows: { clientCredentials: { tokenUrl: string; scopes: Record<string, string> } } };

function pick<Value>(members: Record<string, Value>, isPicked: (name: string) => boolean): Record<string, Value> {
  return Object.fromEntries(Object.entries(members).filter(([name]) => isPicked(name)));
}

/** Returns a copy of that part with these edits. */
export function edited(...edits: Edit[]): Document {
  const contract = original.clone();
  for (const edit of edits) edit(contract);
  return contract;
}

export const set =
  (path: string[], value: unknown): Edit =>
  (contract) =>
    contract.setIn(path, contract.createNode(value));
export const add =
  (path: string[], value: unknown): Edit =>
  (contract) =>
    contract.addIn(path, contract.createNode(value));
export const remove =
  (...path: string[]): Edit =>
  (contract) =>
    expect(contract.deleteIn(path), `${path.join(" ")} was there`).toBe(true);

export const operation = (method: string, path: string, ...rest: string[]) => ["paths", path, method, ...rest];
export const schema = (name: string, ...rest: string[]) => ["components", "schemas", name, ...rest];
export const member = (name: string, property: string, ...rest: string[]) =>
  schema(name, "properties", property, ...rest);
export const response = (name: string, ...rest: string[]) => ["components", "responses", name, ...rest];
export const header = (name: string, ...rest: string[]) => ["components", "headers", name, ...rest];
