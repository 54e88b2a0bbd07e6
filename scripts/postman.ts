/**
 * Creates the Postman collection of the contract: every operation once, with its credentials and with tests of the declared
 * response, in an order that can be run from top to bottom. Values of a response are stored in variables, which later
 * requests use.
 */
import { convertV2 } from "openapi-to-postmanv2";
import postman from "postman-collection";
import { v5 as uuidv5 } from "uuid";

type Contract = {
  info: { title: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
};
type Operation = {
  operationId: string;
  tags: string[];
  security: Record<string, string[]>[];
  parameters?: { name: string; in: string; required?: boolean; example?: unknown }[];
  requestBody?: { content: Record<string, { schema: Schema; examples?: Record<string, { value: object }> }> };
  responses: Record<string, Answer>;
};
type Answer = {
  description: string;
  headers: Record<string, { required?: boolean; schema: Schema }>;
  content?: Record<string, { schema: Schema }>;
};
type Schema = {
  type?: string | string[];
  format?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  allOf?: Schema[];
};

/** The part of Postman's format that this script uses. */
type Item = { name: string; request: Request; response: { id?: string; originalRequest: Request }[] };
type Request = { name?: string; method: string; url: Address; header?: Parameter[]; body?: Body };
/** A form keeps the values of its example. */
type Body = { raw?: string; urlencoded?: FormParameter[] };
type FormParameter = { key: string; value: string; disabled?: boolean; description?: unknown };
type Address = { host: string[]; path: string[]; query: Parameter[]; variable: Parameter[] };
type Parameter = { key: string; value: string; disabled?: boolean };

/** An operation, its request in the collection, the variables that it needs, and those that its response sets. */
type Step = { path: string; operation: Operation; item: Item; takes: string[]; gives: string[] };

/** The variables of each security scheme. */
const credentials = { basicAuth: ["username", "password"], bearerAuth: ["token"], apiKeyAuth: ["key"] } as const;
type Scheme = keyof typeof credentials;

/** The variables at the start of a run. Responses set the others. */
const initial: Record<string, string> = {
  baseUrl: "http://127.0.0.1:8080",
  password: "correct horse battery",
  adminUsername: "",
  adminPassword: "",
};

const description = `Every operation once, except the pages for browsers and what belongs to them. Run it from top to bottom, as often as you like: it registers its own user, stores values of the responses in variables, and deletes at the end what it created.

Some operations require scopes that only an administrator has. To send them, create an administrator on the command line, \`latchkey users create NAME --role administrator\`, and set the variables \`adminUsername\` and \`adminPassword\`. While \`adminUsername\` is empty, these requests are skipped. So is the registration of a program by itself if \`CLIENT_REGISTRATION\` is off.`;

/** @param openapi the parsed contract @returns the collection as JSON */
export async function postmanCollection(openapi: object): Promise<string> {
  const contract = inlined(openapi, openapi) as Contract;
  const steps = await readSteps(contract);
  const known = new Set(Object.keys(initial));
  const created = new Map<string, Created>();
  const waiting = new Set([...steps.filter((step) => !isEnding(step)), ...endings(steps)]);
  const folder = (name: string, description: string, isIn: (step: Step) => boolean) => ({
    name,
    description,
    item: pick([...waiting].filter(isIn), known, created).map(({ step, item }) => {
      waiting.delete(step);
      return item;
    }),
  });
  const isOf = (tag: string) => (step: Step) => step.operation.tags.includes(tag) && !isEnding(step);
  const collection = {
    info: {
      _postman_id: uuidv5(contract.info.title, uuidv5.DNS),
      name: contract.info.title,
      description,
      schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
    },
    item: [
      ...contract.tags.map(({ name, description }) => folder(name, description, isOf(name))),
      folder("Changes and ends", "Updates and deletions, in reverse order.", () => true),
    ],
    variable: [...known].map((key) => ({ key, value: initial[key] ?? "" })),
  };
  const ids = [...waiting].map(({ operation }) => operation.operationId);
  if (ids.length > 0) throw new Error(`No response has the credentials for ${ids.join(", ")}.`);
  return `${JSON.stringify(collection, undefined, 2)}\n`;
}

async function readSteps(contract: Contract): Promise<Step[]> {
  const items = await convert(contract);
  const steps = Object.entries(contract.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]): Step[] => {
      if (isPage(operation) || followsPage.has(operation.operationId)) return [];
      const item = items.get(`${method.toUpperCase()} ${path}`);
      if (!item) throw new Error(`${operation.operationId} is not in the collection.`);
      const [, { content }] = success(operation);
      const given = Object.values(content ?? {}).flatMap(({ schema }) => membersOf(schema));
      const ofPath = item.request.url.variable.map(({ key }) => pathVariable(path, key));
      const ofClient = ofClients.has(operation.operationId) ? clientCredentials : [];
      const takes = [...ofClient, ...ofPath, ...Object.keys(bodyOf(item)).flatMap((name) => bodyVariable(name) ?? [])];
      // The response repeats the parameters of the path: it does not set them.
      const gives = given
        .map((name) => givenVariable(path, name))
        .filter((name) => !ofPath.includes(name) || isCreation(method, operation));
      return [{ path, operation, item, takes, gives }];
    }),
  );
  // A value becomes a variable only if one response sets it and another request needs it. Otherwise the example is sent.
  const given = new Set([...Object.keys(initial), ...steps.flatMap(({ gives }) => gives)]);
  const taken = new Set([...Object.values(credentials).flat(), ...steps.flatMap(({ takes }) => takes)]);
  return steps.map((step) => ({
    ...step,
    takes: step.takes.filter((name) => given.has(name)),
    gives: step.gives.filter((name) => taken.has(name)),
  }));
}

/** They need what a user has decided on a page, or a client that has sent the user there. */
const followsPage = new Set(["getAuthorization", "decideAuthorization", "deleteGrant"]);

/** A request of a browser that needs no page: its response leads to one. Its form has the parameters of the example. */
const leadsToPage = "submitAuthorizationRequest";

/** Whether an operation is for browsers: its errors are pages. */
const isPage = ({ operationId, responses }: Operation) =>
  "text/html" in (responses["400"]?.content ?? {}) && operationId !== leadsToPage;

/** Skipped unless the settings of the service turn it on: the server metadata has this member then. */
const optional: Record<string, string> = { registerClient: "registration_endpoint" };

/** Members of a body that other requests need, in place of those of the example. */
const needed: Record<string, Record<string, unknown>> = {
  createClient: { grant_types: ["client_credentials", "urn:ietf:params:oauth:grant-type:device_code"] },
};

/** They authenticate the client that the collection registers. */
const ofClients = new Set(["issueOAuthTokens", "startDeviceAuthorization"]);
const clientCredentials = ["client_id", "client_secret"];

/** Only the required parameters of a form are sent, and the credentials of a client where they are needed. */
function formParameter({ operation: { operationId, requestBody } }: Step, parameter: FormParameter): FormParameter {
  const { key } = parameter;
  if (ofClients.has(operationId) && clientCredentials.includes(key)) return { ...parameter, value: `{{${key}}}` };
  const required = Object.values(requestBody?.content ?? {}).flatMap(({ schema, examples = {} }) =>
    operationId === leadsToPage ? Object.keys(Object.values(examples)[0]?.value ?? {}) : (schema.required ?? []),
  );
  return required.includes(key) ? parameter : { ...parameter, disabled: true };
}

/** A form may have other parameters, for which the converter sometimes invents one. */
function declaredIn({ operation: { requestBody } }: Step, parameters: FormParameter[]): FormParameter[] {
  const schemas = Object.values(requestBody?.content ?? {}).map(({ schema }) => schema.properties ?? {});
  return parameters.filter(({ key }) => schemas.some((properties) => Object.hasOwn(properties, key)));
}

/** Whether a PUT creates what its path names. */
const isCreation = (method: string, { responses }: Operation) => method.toUpperCase() === "PUT" && "201" in responses;

const isEnding = ({ item: { request }, operation }: Step) =>
  ["PUT", "PATCH", "DELETE"].includes(request.method) && !isCreation(request.method, operation);

/**
 * In reverse order of the contract. Operations that need a token come first, because the others may revoke it, and changes
 * come before deletions.
 */
function endings(steps: Step[]): Step[] {
  const rank = ({ item: { request }, operation: { security } }: Step) =>
    security.every((scheme) => "bearerAuth" in scheme) ? 0 : request.method === "PATCH" ? 1 : 2;
  return steps
    .filter(isEnding)
    .reverse()
    .sort((a, b) => rank(a) - rank(b));
}

/** What a variable names: the request that created it, the member of its response, and whether it is deleted. */
type Created = { step: Step; request: object; member: string; isDeleted: boolean };

/** Returns the variable of the resource that a request deletes. */
function deletedVariable({ path, item: { request } }: Step): string | undefined {
  const last = request.url.variable.at(-1)?.key;
  const isItem = last !== undefined && path.endsWith(`/{${last}}`);
  return request.method === "DELETE" && isItem ? pathVariable(path, last) : undefined;
}

/**
 * Picks the requests that can run now, in the given order, except that a request waits for the responses that it needs.
 * Adds the variables that they set to `known`.
 */
function pick(steps: Step[], known: Set<string>, created: Map<string, Created>): { step: Step; item: object }[] {
  const hasCredentials = (step: Step) => authOf(step, known) !== undefined;
  const isReady = (step: Step) => hasCredentials(step) && step.takes.every((name) => known.has(name));
  // If every request waits for another one, the first creates what it needs: it registers a user.
  // A variable that only other requests set is waited for, if necessary until a later folder.
  const isOwn = ({ takes, gives }: Step) => takes.every((name) => known.has(name) || gives.includes(name));
  const step = steps.find(isReady) ?? steps.find((one) => hasCredentials(one) && isOwn(one));
  if (!step) return [];
  const item = itemOf(step, known, created);
  for (const name of step.gives) known.add(name);
  for (const member of givenMembers(step)) {
    const variable = givenVariable(step.path, member);
    if (!created.has(variable)) created.set(variable, { step, request: item.request, member, isDeleted: false });
  }
  const deleted = created.get(deletedVariable(step) ?? "");
  if (deleted) deleted.isDeleted = true;
  const others = steps.filter((other) => other !== step);
  return [{ step, item }, ...pick(others, known, created)];
}

/** @returns `undefined` if the variables of the credentials are not known yet */
function authOf(step: Step, known: Set<string>): object | undefined {
  const { security } = step.operation;
  // The requirement {} makes credentials optional. If it is not the first one, most requests need them.
  if (isEmpty(security[0] ?? {})) return { type: "noauth" };
  if (isAdministrative(step)) return basicAuth("adminUsername", "adminPassword");
  // Prefer a token. Requests that may revoke tokens use the password, which remains valid.
  const preferred: Scheme[] = isEnding(step) ? ["basicAuth", "bearerAuth"] : ["bearerAuth", "basicAuth"];
  const scheme = preferred.find(
    (name) => security.some((accepted) => name in accepted) && credentials[name].every((part) => known.has(part)),
  );
  if (!scheme) return undefined;
  if (scheme === "basicAuth") return basicAuth(...credentials[scheme]);
  return { type: "bearer", bearer: [{ key: "token", value: `{{${credentials[scheme][0]}}}`, type: "string" }] };
}

const basicAuth = (username: string, password: string): object => ({
  type: "basic",
  basic: [
    { key: "username", value: `{{${username}}}`, type: "string" },
    { key: "password", value: `{{${password}}}`, type: "string" },
  ],
});

const isEmpty = (requirement: object): boolean => Object.keys(requirement).length === 0;

/** Whether a request needs the rights of an administrator: a scope that not every user has. */
const isAdministrative = ({ operation: { security } }: Step): boolean =>
  !security.some(isEmpty) &&
  security
    .flatMap(Object.values)
    .flat()
    .some((scope) => !scope.startsWith("account:") && scope !== "openid");

function itemOf(step: Step, known: Set<string>, created: Map<string, Created>) {
  const { path, operation, item, takes, gives } = step;
  const filled = (name: string, variable: string | undefined, example: unknown) => {
    if (variable === undefined || !takes.includes(variable)) return example;
    return known.has(variable) && !name.startsWith("new_") ? `{{${variable}}}` : `${example}-{{$guid}}`;
  };
  const { name: _, body, ...request } = item.request;
  // What the collection creates has a new name in each run.
  const isNamed = (variable: string) => gives.includes(variable) && !known.has(variable);
  const members = Object.entries({ ...bodyOf(item), ...needed[operation.operationId] }).map(([name, example]) => [
    name,
    isNamed(givenVariable(path, name)) ? `${example}-{{$guid}}` : filled(name, bodyVariable(name), example),
  ]);
  const before = scriptBefore(step, created);
  const isOptional = (key: string) => !operation.parameters?.some(({ name, required }) => name === key && required);
  const isDeclared = (key: string) =>
    operation.parameters?.some(({ name, in: place }) => name === key && place === "header");
  return {
    id: operation.operationId,
    name: item.name,
    ...(operation.operationId === leadsToPage && { protocolProfileBehavior: { followRedirects: false } }),
    event: [
      { listen: "test", script: { type: "text/javascript", exec: testsOf(step).split("\n") } },
      ...(before === ""
        ? []
        : [{ listen: "prerequest", script: { type: "text/javascript", exec: before.split("\n") } }]),
    ],
    request: {
      ...request,
      auth: authOf(step, known),
      header: (request.header ?? []).map((one) =>
        isDeclared(one.key) && isOptional(one.key) ? { ...one, disabled: true } : one,
      ),
      url: complete({
        ...request.url,
        query: request.url.query.map((parameter) => ({ ...parameter, disabled: isOptional(parameter.key) })),
        variable: request.url.variable.map(({ key, value, ...rest }) => {
          const variable = pathVariable(path, key);
          if (isNamed(variable)) return { ...rest, key, value: `${value}-{{$guid}}` };
          // If no response sets it, the example of the contract is used.
          const example = takes.includes(variable) && !known.has(variable) ? exampleIn(operation, key, value) : value;
          return { ...rest, key, value: String(known.has(variable) ? filled(key, variable, value) : example) };
        }),
      }),
      ...(body?.raw && {
        body: {
          ...body,
          raw: isObject(body.raw) ? JSON.stringify(Object.fromEntries(members), undefined, 2) : body.raw,
        },
      }),
      ...(body?.urlencoded && {
        body: { ...body, urlencoded: declaredIn(step, body.urlencoded).map((one) => formParameter(step, one)) },
      }),
    },
    response: item.response.map(({ id: _, originalRequest, ...example }) => ({
      ...example,
      originalRequest: {
        ...originalRequest,
        ...(originalRequest.body?.urlencoded && {
          body: { ...originalRequest.body, urlencoded: declaredIn(step, originalRequest.body.urlencoded) },
        }),
        url: complete(originalRequest.url),
      },
    })),
  };
}

/**
 * Adds the URL as one string, which many importers read instead of its parts. As in exports of Postman, path variables
 * keep their names (`:id`) and disabled parameters are omitted.
 */
const complete = (url: Address): { raw: string } & Address => ({
  raw: new postman.Url({ host: url.host, path: url.path, query: url.query }).toString(),
  ...url,
});

/**
 * The script that runs before the request. It skips the request of an administrator if there is none, and creates what the
 * request deletes, if an earlier request has deleted it or if it is the user of the collection.
 */
function scriptBefore(step: Step, created: Map<string, Created>): string {
  const target = created.get(deletedVariable(step) ?? "");
  const isNeeded = target && (target.isDeleted || target.step.gives.includes("username"));
  const creation = isNeeded ? sendAgain(deletedVariable(step) ?? "", target) : "";
  const member = optional[step.operation.operationId];
  if (member !== undefined) return skipUnlessOn(member);
  if (!isAdministrative(step) && !ofClients.has(step.operation.operationId)) return creation;
  const skip = 'if (!pm.variables.get("adminUsername")) pm.execution.skipRequest();';
  return creation === "" ? skip : `${skip}\nelse {\n${creation.replace(/^/gm, "  ")}\n}`;
}

/** Asks the service, because a setting decides. */
const skipUnlessOn = (member: string): string =>
  [
    'pm.sendRequest(pm.variables.replaceIn("{{baseUrl}}/.well-known/oauth-authorization-server"), (error, response) => {',
    `  if (!error && !response.json().${member}) pm.execution.skipRequest();`,
    "});",
  ].join("\n");

/** Sends the request that creates a resource again, and stores the name of the new one. */
function sendAgain(variable: string, { request, member }: Created): string {
  const { method, url, body, auth } = request as {
    method: string;
    url: { raw: string };
    body?: { raw?: string };
    auth: { type: string };
  };
  const isOpen = auth.type === "noauth";
  return [
    "pm.sendRequest(",
    "  {",
    `    url: pm.variables.replaceIn("${url.raw}"),`,
    `    method: "${method}",`,
    "    header: {",
    '      "Content-Type": "application/json",',
    ...(isOpen ? [] : ['      Authorization: "Basic " + btoa(pm.variables.replaceIn("{{username}}:{{password}}")),']),
    "    },",
    `    body: pm.variables.replaceIn(${JSON.stringify(JSON.stringify(JSON.parse(body?.raw ?? "{}")))}),`,
    "  },",
    "  (_error, response) => {",
    `    ${keeping(variable, "response", member)}`,
    "  },",
    ");",
  ].join("\n");
}

/** The statement that sets a variable to a member of a response. A name other than an id may need encoding in a path. */
function keeping(variable: string, response: string, member: string): string {
  const value = `${response}.json().${member}`;
  const isPlain = bodyVariable(member) !== undefined || member === "id";
  return `pm.collectionVariables.set("${variable}", ${isPlain ? value : `encodeURIComponent(${value})`});`;
}

/** The members of the response that set variables. */
const givenMembers = ({ path, operation, gives }: Step): string[] =>
  Object.values(success(operation)[1].content ?? {})
    .flatMap(({ schema }) => membersOf(schema))
    .filter((name) => gives.includes(givenVariable(path, name)));

/** The script that runs after the response: it compares the response with the contract, and sets variables. */
function testsOf(step: Step): string {
  const { path, operation, item } = step;
  const [status, { description, headers, content = {} }] = success(operation);
  const [[type, body] = []] = Object.entries(content);
  const isJson = type?.endsWith("json");
  const check = (value: string, schema: Schema) =>
    `  matches(${value}, ${JSON.stringify(schema, undefined, 2).replaceAll("\n", "\n  ")});`;
  const header = (name: string, { type }: Schema) =>
    type === "integer" ? `Number(pm.response.headers.get("${name}"))` : `pm.response.headers.get("${name}")`;
  const kept = givenMembers(step);
  const changed = Object.keys(bodyOf(item)).filter((name) => name.startsWith("new_"));
  const keeps = [
    ...kept.map((name) => `  ${keeping(givenVariable(path, name), "pm.response", name)}`),
    ...changed.map((name) => {
      const variable = bodyVariable(name) ?? name;
      return `  pm.collectionVariables.set("${variable}", JSON.parse(pm.request.body.raw).${name});`;
    }),
  ];
  return [
    'const matches = (value, schema) => pm.expect(value).to.have.jsonSchema(schema, { unknownFormats: "ignore" });',
    `pm.test(${JSON.stringify(`${status}: ${description}`)}, () => pm.response.to.have.status(${status}));`,
    'pm.test("The headers are as declared.", () => {',
    ...Object.entries(headers)
      .filter(([, { required }]) => required)
      .map(([name, { schema }]) => check(header(name, schema), schema)),
    "});",
    'pm.test("The body is as declared.", () => {',
    ...(type && body
      ? [
          `  pm.expect(pm.response.headers.get("Content-Type").split(";")[0]).to.equal("${type}");`,
          check(isJson ? "pm.response.json()" : "pm.response.text()", body.schema),
        ]
      : ["  pm.response.to.not.have.body();"]),
    "});",
    ...(keeps.length > 0 ? [`if (pm.response.code === ${status}) {`, ...keeps, "}"] : []),
  ].join("\n");
}

/** The singular noun of a path: `order` for `/api/orders` and `/api/orders/{id}`. */
const nounOf = (path: string): string => {
  const words = path.split("/").filter((step) => step !== "" && !step.startsWith("{"));
  return (words.at(-1) ?? "")
    .replace(/\.\w+$/, "")
    .replace(/ies$/, "y")
    .replace(/s$/, "")
    .replaceAll("-", "_");
};

/** The variable of a path parameter: `gift_order_id`, whether the parameter is named that, `order_id` or `id`. */
function pathVariable(path: string, name: string): string {
  const noun = nounOf(path.slice(0, path.indexOf(`{${name}}`)));
  if (`_${noun}_id`.endsWith(`_${name}`)) return `${noun}_id`;
  return name.startsWith(`${noun}_`) ? name : `${noun}_${name}`;
}

/** The variable of a member of a body: credentials only, and the same for the old and the new password. */
const bodyVariable = (name: string): string | undefined =>
  /(^|_)(username|password|token)$/.test(name) ? name.replace(/^(current|new)_/, "") : undefined;

const givenVariable = (path: string, name: string): string =>
  bodyVariable(name) ?? pathVariable(`${path}/{${name}}`, name);

/** The members of a schema without links: a `token` that is a URL is not a token. */
const membersOf = ({ properties = {}, allOf = [] }: Schema): string[] => [
  ...Object.keys(properties).filter((name) => !/^uri/.test(properties[name]?.format ?? "")),
  ...allOf.flatMap(membersOf),
];

const exampleIn = ({ parameters = [] }: Operation, name: string, otherwise: string): string =>
  String(parameters.find((one) => one.name === name && one.in === "path")?.example ?? otherwise);

const isObject = (json: string): boolean => json.trimStart().startsWith("{");

/** The members of the body; none if it is not an object. */
const bodyOf = ({ request }: Item): Record<string, unknown> =>
  isObject(request.body?.raw ?? "") ? JSON.parse(request.body?.raw ?? "{}") : {};

function success({ operationId, responses }: Operation): [string, Answer] {
  const successes = Object.entries(responses).filter(([status]) => /^2|^303/.test(status));
  // A PUT answers 201 if it creates something, as in this collection.
  const found = successes.find(([status]) => status === "201") ?? successes[0];
  if (!found) throw new Error(`${operationId} declares no success.`);
  return found;
}

/** The converter's requests with their saved responses, by method and path. */
async function convert(contract: Contract): Promise<Map<string, Item>> {
  const data = await new Promise<object | undefined>((resolve, reject) => {
    convertV2({ type: "json", data: contract }, { parametersResolution: "Example" }, (error, converted) => {
      const failure = error ?? (converted?.result === false && new Error(converted.reason));
      if (failure) reject(failure);
      else resolve(converted?.output?.[0]?.data);
    });
  });
  const flat = (items: (Item | { item: Item[] })[]): Item[] =>
    items.flatMap((item) => ("item" in item ? flat(item.item) : item));
  const place = ({ request: { method, url } }: Item) =>
    `${method} /${url.path.map((step) => step.replace(/^:(.*)/, "{$1}")).join("/")}`;
  return new Map(flat((data as { item: Item[] }).item).map((item) => [place(item), item]));
}

/** Replaces each reference by its target, because the converter ignores headers behind references. */
function inlined(value: unknown, document: object): unknown {
  if (Array.isArray(value)) return value.map((item) => inlined(item, document));
  if (typeof value !== "object" || value === null) return value;
  if ("$ref" in value) {
    const steps = String(value.$ref).slice(2).split("/");
    return inlined(
      steps.reduce<unknown>((target, step) => (target as Record<string, unknown>)[step], document),
      document,
    );
  }
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, inlined(member, document)]));
}
