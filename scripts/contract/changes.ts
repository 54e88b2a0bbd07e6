/**
 * What clients notice of a change of the contract, operation by operation, and whether it breaks
 * them. What a request may be can only grow, what an answer may be can only shrink. So decided:
 *
 * - The contract promises exactly the answers that it lists, for clients that tell all of them
 *   apart. So another status is breaking, and another problem in a status too. That an error can no
 *   longer happen is compatible.
 * - Objects are closed, and clients generated from the contract may refuse members that it does not
 *   have. So a new member of an answer is breaking. A new header is not: nobody refuses those.
 * - Generated clients are made of names. So another operationId is breaking, and so is the end of a
 *   parameter, a member or a header, even of an optional one.
 * - Another default is compatible, and said: whatever it answers was allowed before.
 * - Descriptions, summaries and examples are no change. What is not understood is breaking.
 */
import { isDeepStrictEqual } from "node:util";
import { dereference } from "./dereference.ts";
import { bare, readSchema, schemaChanges } from "./schemaChanges.ts";

export const verdicts = ["breaking", "added", "changed"] as const;
type Verdict = (typeof verdicts)[number];
export type Change = {
  verdict: Verdict;
  /** As `GET /api/users/{id} (getUser)`, or what it is about besides operations. */
  subject: string;
  text: string;
};
type Finding = Omit<Change, "subject">;
type Node = Record<string, unknown>;
type Nodes = Record<string, Node>;

const breaking = (text: string): Finding => ({ verdict: "breaking", text });
const added = (text: string): Finding => ({ verdict: "added", text });
const changed = (text: string): Finding => ({ verdict: "changed", text });

/** Compares two contracts, as they were parsed. */
export function contractChanges(before: object, after: object): Change[] {
  const [from, to] = [dereference(before) as Node, dereference(after) as Node];
  const known = ["openapi", "info", "tags", "paths", "components", "security"];
  return [
    ...otherChanges(from, to, known).map((found) => ({ ...found, subject: "The contract" })),
    ...matched(operations(from), operations(to)).flatMap(([name, one, other]) => {
      const findings = !one ? [added("is new")] : !other ? [breaking("is gone")] : operationChanges(one, other);
      const subject = `${name} (${((one ?? other) as Node)["operationId"]})`;
      return findings.map((found) => ({ ...found, subject }));
    }),
  ];
}

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/** The operations by method and path, each with what is said for all of its path or of the contract. */
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

/** The later one holds where two have the same name. */
function parametersByName(...lists: unknown[]): Nodes {
  const parameters = lists.flatMap((list) => (list ?? []) as { in: string; name: string }[]);
  return Object.fromEntries(
    parameters.map((parameter) => {
      const name = parameter.in === "header" ? parameter.name.toLowerCase() : parameter.name;
      return [`${parameter.in} parameter ${name}`, parameter];
    }),
  );
}

/** What each alternative asks for, by name. None at all is the same as one that asks for nothing. */
function alternatives(contract: Node, security: unknown): Nodes {
  const schemes = nodes(nodes(contract["components"])["securitySchemes"]);
  const requirements = ((security as Node[] | undefined) ?? []).map((requirement) => {
    const asked = Object.entries(requirement).map(([name, scopes]) => ({ scopes, ...schemes[name] }));
    return [Object.keys(requirement).join(" with ") || anonymous, { asked }];
  });
  return requirements.length > 0 ? Object.fromEntries(requirements) : { [anonymous]: { asked: [] } };
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

/** Where no credentials are needed, nobody is refused for some. */
function securityChanges(before: Nodes, after: Nodes): Finding[] {
  return matched(before, after).flatMap(([name, from, to]) => {
    if (!from) return [added(`takes ${name}`)];
    if (!to) return anonymous in after ? [] : [breaking(`takes ${name} no longer`)];
    return isDeepStrictEqual(bare(from), bare(to)) ? [] : [breaking(`takes ${name} in another way`)];
  });
}

function parameterChanges([name, before, after]: Match): Finding[] {
  if (!before) return isRequired(after) ? [breaking(`${name} is new and required`)] : [added(`${name} is new`)];
  if (!after) return [breaking(`${name} is gone`)];
  return [
    ...requirementChange(before, after, name),
    ...notices(before, after, ["deprecated"], name),
    ...otherChanges(before, after, ["in", "name", "required", "schema", "deprecated"], name),
    ...requestChanges(before, after, name),
  ];
}

function requestBodyChanges(before: Node | undefined, after: Node | undefined): Finding[] {
  if (!before && !after) return [];
  if (!before) return isRequired(after) ? [breaking("the body is new and required")] : [added("a body is new")];
  if (!after) return [breaking("the body is gone")];
  return [
    ...requirementChange(before, after, "the body"),
    ...otherChanges(before, after, ["required", "content"], "the body"),
    ...matched(before["content"], after["content"]).flatMap(([type, from, to]) => {
      if (!from) return [added(`takes a body of ${type}`)];
      if (!to) return [breaking(`takes a body of ${type} no longer`)];
      return [...otherChanges(from, to, ["schema"], `body of ${type}`), ...requestChanges(from, to, "body")];
    }),
  ];
}

function requirementChange(before: Node, after: Node, name: string): Finding[] {
  if (isRequired(before) === isRequired(after)) return [];
  return [isRequired(after) ? breaking(`${name} is now required`) : changed(`${name} is now optional`)];
}

const isRequired = (node: Node | undefined) => node?.["required"] === true;

function responseChanges([status, before, after]: Match): Finding[] {
  const name = `answer ${status}`;
  if (!before) return [breaking(`${name} is new`)];
  if (!after) return [/^[45]/.test(status) ? changed(`${name} is gone`) : breaking(`${name} is gone`)];
  return [
    ...otherChanges(before, after, ["headers", "content"], name),
    ...matched(lowerCase(before["headers"]), lowerCase(after["headers"])).flatMap(([header, from, to]) =>
      headerChanges([`${name} header ${header}`, from, to]),
    ),
    ...matched(before["content"], after["content"]).flatMap(([type, from, to]) => {
      if (!from) return [breaking(`${name} can now be ${type}`)];
      if (!to) return [breaking(`${name} can no longer be ${type}`)];
      return [...otherChanges(from, to, ["schema"], name), ...answerChanges(from, to, `${name} body`)];
    }),
  ];
}

function headerChanges([name, before, after]: Match): Finding[] {
  if (!before) return [added(`${name} is new`)];
  if (!after) return [breaking(`${name} is gone`)];
  const requirement = isRequired(after) ? changed(`${name} is now certain`) : breaking(`${name} is now optional`);
  return [
    ...(isRequired(before) === isRequired(after) ? [] : [requirement]),
    ...notices(before, after, ["deprecated"], name),
    ...otherChanges(before, after, ["required", "schema", "deprecated"], name),
    ...answerChanges(before, after, name),
  ];
}

const lowerCase = (headers: unknown): Nodes =>
  Object.fromEntries(Object.entries(nodes(headers)).map(([name, header]) => [name.toLowerCase(), header]));

/** What a client sends may be more than before, and never less. */
function requestChanges(before: Node, after: Node, place: string): Finding[] {
  return schemaChanges(readSchema(before["schema"]), readSchema(after["schema"]), place).map((change) => {
    const text = `${change.place} ${change.text}`;
    if (change.effect === "noted") return changed(text);
    return change.effect === "widened" ? added(text) : breaking(text);
  });
}

/** What a client receives may be less than before, and never more. */
function answerChanges(before: Node, after: Node, place: string): Finding[] {
  return schemaChanges(readSchema(before["schema"]), readSchema(after["schema"]), place).map((change) => {
    const text = `${change.place} ${change.text}`;
    return change.effect === "noted" || change.effect === "narrowed" ? changed(text) : breaking(text);
  });
}

/** Differences that no client has to do anything about. */
function notices(before: Node, after: Node, keys: string[], place = ""): Finding[] {
  return keys
    .filter((key) => !isDeepStrictEqual(before[key], after[key]))
    .map((key) => changed(`${place} has ${key} ${shown(after[key])}, had ${shown(before[key])}`.trim()));
}

/** Differences in what is not compared piece by piece. */
function otherChanges(before: Node, after: Node, known: string[], place = ""): Finding[] {
  const rest = (node: Node) => bare(Object.fromEntries(Object.entries(node).filter(([key]) => !known.includes(key))));
  return matched(rest(before), rest(after))
    .filter(([, from, to]) => !isDeepStrictEqual(from, to))
    .map(([key]) => breaking(`${place} ${key} is changed in a way that is not understood`.trim()));
}

type Match = [name: string, before: Node | undefined, after: Node | undefined];

/** What has the same name before and after, side by side. */
function matched(before: unknown, after: unknown): Match[] {
  const [from, to] = [nodes(before), nodes(after)];
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].map((name) => [name, from[name], to[name]]);
}

const nodes = (value: unknown): Nodes => (value ?? {}) as Nodes;
const shown = (value: unknown) => JSON.stringify(value) ?? "none";
