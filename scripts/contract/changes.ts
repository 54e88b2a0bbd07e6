/**
 * Finds the changes of a contract that affect clients, and whether they break them. Requests may become more
 * permissive, responses more restrictive; the reverse is breaking. In detail:
 *
 * - Clients may handle exactly the responses that the contract lists. A new status, and a new problem in a status, is
 *   breaking. A removed error is compatible.
 * - Objects are closed, and generated clients may reject unknown members. A new member of a response is breaking. A
 *   new header is compatible.
 * - Generated clients use the names of the contract. A renamed operation is breaking, and so is the removal of a
 *   parameter, a member or a header, even of an optional one.
 * - A new default is compatible, but reported.
 * - Descriptions, summaries and examples are ignored. A change that this code does not understand is breaking.
 */
import { isDeepStrictEqual } from "node:util";
import { dereference } from "./dereference.ts";
import { bare, readSchema, schemaChanges } from "./schemaChanges.ts";

export const verdicts = ["breaking", "added", "changed"] as const;
type Verdict = (typeof verdicts)[number];
export type Change = {
  verdict: Verdict;
  /** Such as `GET /api/users/{id} (getUser)`, or `The contract`. */
  subject: string;
  text: string;
};
type Finding = Omit<Change, "subject">;
type Node = Record<string, unknown>;
type Nodes = Record<string, Node>;

const breaking = (text: string): Finding => ({ verdict: "breaking", text });
const added = (text: string): Finding => ({ verdict: "added", text });
const changed = (text: string): Finding => ({ verdict: "changed", text });

/** Compares two parsed contracts. */
export function contractChanges(before: object, after: object): Change[] {
  const [from, to] = [dereference(before) as Node, dereference(after) as Node];
  const known = ["openapi", "info", "tags", "paths", "components", "security"];
  return [
    ...otherChanges(from, to, known).map((found) => ({ ...found, subject: "The contract" })),
    ...matched(operations(from), operations(to)).flatMap(([name, one, other]) => {
      const findings = !one ? [added("was added")] : !other ? [breaking("was removed")] : operationChanges(one, other);
      const subject = `${name} (${((one ?? other) as Node)["operationId"]})`;
      return findings.map((found) => ({ ...found, subject }));
    }),
  ];
}

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/** The operations by method and path, each with what it inherits from its path and from the contract. */
function operations(contract: Node): Nodes {
  const found = Object.entries(nodes(contract["paths"])).flatMap(([path, { parameters, ...item }]) => {
    const common = Object.entries(item).filter(([key]) => !methods.includes(key));
    return methods.flatMap((method): [string, Node][] => {
      const operation = item[method] as Node | undefined;
      if (!operation) return [];
      const all = { security: contract["security"], ...Object.fromEntries(common), ...operation };
      const read = {
        ...all,
        security: alternatives(contract, all.security),
        parameters: parametersByName(parameters, operation["parameters"]),
      };
      return [[`${method.toUpperCase()} ${path}`, read]];
    });
  });
  return Object.fromEntries(found);
}

/** A later parameter replaces an earlier one of the same name. */
function parametersByName(...lists: unknown[]): Nodes {
  const parameters = lists.flatMap((list) => (list ?? []) as { in: string; name: string }[]);
  return Object.fromEntries(
    parameters.map((parameter) => {
      const name = parameter.in === "header" ? parameter.name.toLowerCase() : parameter.name;
      return [`${parameter.in} parameter ${name}`, parameter];
    }),
  );
}

/** The alternative credentials by name. An empty list means that no credentials are needed. */
function alternatives(contract: Node, security: unknown): Nodes {
  const schemes = nodes(nodes(contract["components"])["securitySchemes"]);
  const requirements = ((security as Node[] | undefined) ?? []).map((requirement) => {
    const schemesAndScopes = Object.entries(requirement).map(([name, scopes]) => ({ scopes, ...schemes[name] }));
    return [Object.keys(requirement).join(" with ") || anonymous, { schemesAndScopes }];
  });
  return requirements.length > 0 ? Object.fromEntries(requirements) : { [anonymous]: { schemesAndScopes: [] } };
}
const anonymous = "no credentials";

function operationChanges(before: Node, after: Node): Finding[] {
  const known = ["operationId", "security", "parameters", "requestBody", "responses", "tags", "deprecated"];
  const [idBefore, idAfter] = [before["operationId"], after["operationId"]];
  return [
    ...(idBefore === idAfter ? [] : [breaking(`is named ${idAfter}, was ${idBefore}`)]),
    ...notices(before, after, ["tags", "deprecated"]),
    ...otherChanges(before, after, known),
    ...securityChanges(nodes(before["security"]), nodes(after["security"])),
    ...matched(before["parameters"], after["parameters"]).flatMap(parameterChanges),
    ...requestBodyChanges(before["requestBody"] as Node | undefined, after["requestBody"] as Node | undefined),
    ...matched(before["responses"], after["responses"]).flatMap(responseChanges),
  ];
}

/** If an operation needs no credentials, the removal of an alternative breaks nobody. */
function securityChanges(before: Nodes, after: Nodes): Finding[] {
  return matched(before, after).flatMap(([name, from, to]) => {
    if (!from) return [added(`accepts ${name}`)];
    if (!to) return anonymous in after ? [] : [breaking(`no longer accepts ${name}`)];
    return isDeepStrictEqual(bare(from), bare(to)) ? [] : [breaking(`accepts ${name} in a different way`)];
  });
}

function parameterChanges([name, before, after]: Match): Finding[] {
  if (!before)
    return isRequired(after) ? [breaking(`${name} was added and is required`)] : [added(`${name} was added`)];
  if (!after) return [breaking(`${name} was removed`)];
  return [
    ...requirementChange(before, after, name),
    ...notices(before, after, ["deprecated"], name),
    ...otherChanges(before, after, ["in", "name", "required", "schema", "deprecated"], name),
    ...requestSchemaChanges(before, after, name),
  ];
}

function requestBodyChanges(before: Node | undefined, after: Node | undefined): Finding[] {
  if (!before && !after) return [];
  if (!before)
    return isRequired(after) ? [breaking("a required body was added")] : [added("an optional body was added")];
  if (!after) return [breaking("the body was removed")];
  return [
    ...requirementChange(before, after, "the body"),
    ...otherChanges(before, after, ["required", "content"], "the body"),
    ...matched(before["content"], after["content"]).flatMap(([type, from, to]) => {
      if (!from) return [added(`accepts a body of type ${type}`)];
      if (!to) return [breaking(`no longer accepts a body of type ${type}`)];
      return [...otherChanges(from, to, ["schema"], `body of ${type}`), ...requestSchemaChanges(from, to, "body")];
    }),
  ];
}

function requirementChange(before: Node, after: Node, name: string): Finding[] {
  if (isRequired(before) === isRequired(after)) return [];
  return [isRequired(after) ? breaking(`${name} is now required`) : changed(`${name} is now optional`)];
}

const isRequired = (node: Node | undefined) => node?.["required"] === true;

/** The comparison of each response with the one after it. Most operations share their responses. */
const compared = new WeakMap<Node, { name: string; after: Node; findings: Finding[] }>();

function responseChanges([status, before, after]: Match): Finding[] {
  const name = `response ${status}`;
  if (!before) return [breaking(`${name} was added`)];
  if (!after) return [/^[45]/.test(status) ? changed(`${name} was removed`) : breaking(`${name} was removed`)];
  const known = compared.get(before);
  if (known?.name === name && known.after === after) return known.findings;
  const findings = declaredResponseChanges(name, before, after);
  compared.set(before, { name, after, findings });
  return findings;
}

function declaredResponseChanges(name: string, before: Node, after: Node): Finding[] {
  return [
    ...otherChanges(before, after, ["headers", "content"], name),
    ...matched(lowerCase(before["headers"]), lowerCase(after["headers"])).flatMap(([header, from, to]) =>
      headerChanges([`${name} header ${header}`, from, to]),
    ),
    ...matched(before["content"], after["content"]).flatMap(([type, from, to]) => {
      if (!from) return [breaking(`${name} can now be ${type}`)];
      if (!to) return [breaking(`${name} can no longer be ${type}`)];
      return [...otherChanges(from, to, ["schema"], name), ...responseSchemaChanges(from, to, `${name} body`)];
    }),
  ];
}

function headerChanges([name, before, after]: Match): Finding[] {
  if (!before) return [added(`${name} was added`)];
  if (!after) return [breaking(`${name} was removed`)];
  const requirement = isRequired(after)
    ? changed(`${name} is now always present`)
    : breaking(`${name} is now optional`);
  return [
    ...(isRequired(before) === isRequired(after) ? [] : [requirement]),
    ...notices(before, after, ["deprecated"], name),
    ...otherChanges(before, after, ["required", "schema", "deprecated"], name),
    ...responseSchemaChanges(before, after, name),
  ];
}

const lowerCase = (headers: unknown): Nodes =>
  Object.fromEntries(Object.entries(nodes(headers)).map(([name, header]) => [name.toLowerCase(), header]));

/** A wider schema is compatible, a narrower one is breaking. */
function requestSchemaChanges(before: Node, after: Node, path: string): Finding[] {
  return schemaChanges(readSchema(before["schema"]), readSchema(after["schema"]), path).map((change) => {
    const text = `${change.path} ${change.text}`;
    if (change.effect === "noted") return changed(text);
    return change.effect === "widened" ? added(text) : breaking(text);
  });
}

/** A narrower schema is compatible, a wider one is breaking. */
function responseSchemaChanges(before: Node, after: Node, path: string): Finding[] {
  return schemaChanges(readSchema(before["schema"]), readSchema(after["schema"]), path).map((change) => {
    const text = `${change.path} ${change.text}`;
    return change.effect === "noted" || change.effect === "narrowed" ? changed(text) : breaking(text);
  });
}

/** Differences that need no action by clients. */
function notices(before: Node, after: Node, keys: string[], path = ""): Finding[] {
  return keys
    .filter((key) => !isDeepStrictEqual(before[key], after[key]))
    .map((key) => changed(`${path} has ${key} ${shown(after[key])}, had ${shown(before[key])}`.trim()));
}

/** Differences in everything that is not compared in detail. */
function otherChanges(before: Node, after: Node, known: string[], path = ""): Finding[] {
  const rest = (node: Node) => bare(Object.fromEntries(Object.entries(node).filter(([key]) => !known.includes(key))));
  return matched(rest(before), rest(after))
    .filter(([, from, to]) => !isDeepStrictEqual(from, to))
    .map(([key]) => breaking(`${path} ${key} changed in a way that this tool does not understand`.trim()));
}

type Match = [name: string, before: Node | undefined, after: Node | undefined];

/** Pairs the entries that have the same name before and after. */
function matched(before: unknown, after: unknown): Match[] {
  const [from, to] = [nodes(before), nodes(after)];
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].map((name) => [name, from[name], to[name]]);
}

const nodes = (value: unknown): Nodes => (value ?? {}) as Nodes;
const shown = (value: unknown) => JSON.stringify(value) ?? "none";
