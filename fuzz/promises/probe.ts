/** The means to check a promise: recorded requests, responses validated against the contract, users, and assertions. */
import type { ReceivedResponse } from "../../src/openapi/responseValidator.ts";
import { encodeBody, typeOfBody } from "../contract/bodies.ts";
import { type Api, needsRights, type Operation, type Parameter, refers, sourcesOf } from "../contract/operations.ts";
import { type Roles, rolesOf } from "../contract/roles.ts";
import type { SentRequest } from "../curl.ts";
import { Finding } from "../finding.ts";
import { exampleValue } from "../generators/simplest.ts";
import { type Request, validatedAs } from "../http.ts";
import { type Json, jsonOf, stringsOf } from "../json.ts";

/** What is known about a service besides its address. A promise that needs an absent detail is not checked. */
export type ServiceDetails = {
  /** Signs a token with the service's own key. */
  sign?: ((header: Json, claims: Json) => Promise<string>) | undefined;
  /** The maximum number of sessions of a user. */
  sessionsPerUser?: number | undefined;
  /** REFRESH_GRACE_SECONDS: a used refresh token returns the same successor for so long. */
  refreshGraceSeconds?: number | undefined;
  /** The username and password of an administrator, who calls the operations that need rights. */
  administrator?: [username: string, password: string] | undefined;
  /** PUBLIC_URL. Default: the address. */
  issuer?: string | undefined;
  /**
   * Begins an authorization for the page of a team (AUTHORIZATION_PAGE_URL).
   * @param query of `GET /oauth/authorize`
   * @returns the `authorization_id`; `undefined` if the request is refused
   */
  beginAuthorization?: ((query: string) => Promise<string | undefined>) | undefined;
};

export type ServiceAccess = ServiceDetails & {
  api: Api;
  /** @param from the address to send from. Default: the usual one */
  send(request: Request, from?: string): Promise<ReceivedResponse>;
  /** Throws if the contract does not declare the response. */
  check(method: string, target: string, answer: ReceivedResponse): void;
  /** Digits that no other run has, so that usernames differ. */
  runId: string;
  /** Whether 429, 500 and 503 are expected. */
  isDegraded?: boolean;
};

export type Credentials = { basic?: [username: string, password: string]; bearer?: string; raw?: string };
export type Sent = Credentials & {
  /** Default: the method of the operation. */
  method?: string;
  path?: Record<string, string>;
  query?: string;
  body?: unknown;
  /** The bytes of the body, instead of JSON. */
  bytes?: Buffer;
  headers?: [string, string][];
  from?: string;
};
export type Reply = ReceivedResponse & { json: Json; slug: string };
export type TestUser = { id: string; username: string; password: string; basic: [string, string] };

/** The promise cannot be checked, because the contract or the service lacks something. */
export class Unchecked extends Error {}

export type Probe = ReturnType<typeof createProbe>;

/** Strong, and short enough for a quick estimate of its strength. */
const usualPassword = (runId: string): string => `Otters § ${runId} glow`;

/** Long, with both cases, several spaces, and characters that have another normal form. */
export const strongPassword = (runId: string): string =>
  `Crème  brûlée oﬃce Ｆour gleaming LANTERNS beside ${runId} wandering otters, Which nobody ever counted`;

export function createProbe({ api, send, check, runId, isDegraded = false, ...details }: ServiceAccess) {
  const sentRequests: SentRequest[] = [];
  const roles = rolesOf(api);
  let userCount = 0;

  const finding = (what: string, cause?: unknown) => new Finding(what, [...sentRequests], cause);

  /** Sends a request for an operation. @throws {Finding} if the contract does not declare the response */
  async function call(operation: Operation, sent: Sent = {}): Promise<Reply> {
    const { path = {}, query, headers = [], body, bytes } = sent;
    const filled = operation.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? "x"));
    const payload =
      bytes ?? (body === undefined ? undefined : Buffer.from(encodeBody(operation, JSON.stringify(body))));
    const hasType = headers.some(([name]) => name === "Content-Type");
    return request(
      {
        method: sent.method ?? operation.method,
        target: query === undefined ? filled : `${filled}?${query}`,
        headers: [
          ...authorization(sent),
          ...(payload && !hasType ? [["Content-Type", typeOfBody(operation)] as [string, string]] : []),
          ...headers,
        ],
        body: payload,
      },
      sent.from,
    );
  }

  async function request(request: Request, from?: string): Promise<Reply> {
    const sent: SentRequest = { request, returned: [] };
    sentRequests.push(sent);
    const where = `${request.method} ${request.target.slice(0, 200)}`;
    const answer = await send(request, from).catch((error: Error) => {
      throw finding(`${where}: no response (${error.message})`, error);
    });
    const summary = `${answer.status} ${answer.text.slice(0, 300)}`;
    if (answer.status >= 500 && !isDegraded) throw finding(`${where}: a server error: ${summary}`);
    if (answer.status === 429 && !isDegraded) throw new Unchecked("the service limits sign-in attempts");
    try {
      check(...validatedAs(request, answer), answer);
    } catch (error) {
      throw finding(`${where}: not declared by the contract: ${(error as Error).message}`, error);
    }
    const secret = secretsOf(request).find((one) => answer.text.includes(JSON.stringify(one).slice(1, -1)));
    if (secret !== undefined) throw finding(`${where}: the response contains a secret, ${JSON.stringify(secret)}`);
    const json = jsonOf(answer.text);
    if (answer.status < 300) sent.returned = stringsOf(json);
    const type = json["type"];
    const uri = type ?? json["error_uri"]; // of an error of OAuth
    return { ...answer, json, slug: typeof uri === "string" ? uri.replace("/problems/", "") : "" };
  }

  /** Registers a user that no other run has. */
  async function register(password = usualPassword(runId), name = `Prüfer${runId}x${++userCount}`): Promise<TestUser> {
    const registration = operationFor("registration");
    const { status, json, text } = await call(registration, { body: { username: name, password } });
    if (status !== 201) throw finding(`a valid registration is rejected: ${status} ${text}`);
    const username = String(json["username"]);
    return { id: String(json["id"]), username, password, basic: [username, password] };
  }

  /** @throws {Unchecked} if the contract has no such operation */
  function operationFor(role: Exclude<keyof Roles, "endKey" | "userinfo">): Operation {
    const operation = roles[role];
    if (!operation) throw new Unchecked(`the contract has no operation for ${role}`);
    return operation;
  }

  /** @throws {Finding} unless the condition holds */
  function assert(condition: boolean, what: string): void {
    if (!condition) throw finding(what);
  }

  /** @throws {Finding} unless the status is 2xx */
  function assertSuccess(reply: Reply, what: string): Reply {
    assert(reply.status < 300, `${what}: ${reply.status} ${reply.text.slice(0, 200)}`);
    return reply;
  }

  /** Whether credentials are accepted. @throws {Finding} for a status other than 200, 400 and 401 */
  async function accepts(credentials: Credentials): Promise<boolean> {
    const { status } = await call(operationFor("anyCaller"), credentials);
    assert([200, 400, 401].includes(status), `credentials return ${status}`);
    return status === 200;
  }

  /**
   * Returns a request that succeeds for this user. Its parameters and body are examples of the contract, or values that
   * other operations return.
   * @param known parameters of the path that are given
   * @returns `undefined` if it refers to something that no operation returns
   */
  async function inputsFor(
    operation: Operation,
    user: TestUser,
    known: Readonly<Record<string, string>> = {},
  ): Promise<Sent | undefined> {
    const path: Record<string, string> = { ...known };
    for (const parameter of operation.parameters.filter((one) => one.in === "path" && !(one.name in known))) {
      const [giver] = refers(api, operation, parameter.name) ? sourcesOf(api, operation, parameter.name) : [];
      const value = giver ? await valueFrom(giver, parameter, { user, path }) : parameter.examples[0];
      if (value === undefined) return undefined;
      path[parameter.name] = String(value);
    }
    const query = new URLSearchParams();
    for (const { in: place, required, name, examples, schema } of operation.parameters) {
      if (place === "query" && required) query.set(name, String(examples[0] ?? exampleValue(api, schema)));
    }
    const headers = operation.parameters
      .filter(({ in: place, required }) => place === "header" && required)
      .map(({ name, examples, schema }): [string, string] => [name, String(examples[0] ?? exampleValue(api, schema))]);
    const { body } = operation;
    return {
      path,
      ...(query.size > 0 && { query: query.toString() }),
      headers,
      ...(body && { body: body.examples[0] ?? exampleValue(api, body.schema) }),
      ...credentialsFor(operation, user),
    };
  }

  async function valueFrom(
    giver: Operation,
    { name, examples }: Parameter,
    { user, path }: { user: TestUser; path: Readonly<Record<string, string>> },
  ): Promise<string | undefined> {
    if (giver === roles.registration || giver === roles.self) return user.id;
    // What a client has, for example, is created below the same client.
    const isUnknown = (one: Parameter) => one.in === "path" && !(one.name in path);
    if (giver.method !== "PUT" && giver.parameters.some(isUnknown)) return undefined;
    const inputs = await inputsFor(giver, user, path);
    const { status, json } = await call(giver, inputs);
    const given = stringsOf(json);
    const found = given.find((one) => one.name === name) ?? given.find((one) => one.name === name.split("_").at(-1));
    // What the example names exists already.
    if (status === 409) return typeof examples[0] === "string" ? examples[0] : undefined;
    return status < 300 ? found?.value : undefined;
  }

  /** An administrator's credentials if the operation needs rights, otherwise those of the user. */
  const credentialsFor = (operation: Operation, { basic }: TestUser): Credentials => {
    const { administrator } = details;
    if (needsRights(operation) && administrator) return { basic: administrator };
    return operation.usualSchemes.includes("basic") ? { basic } : {};
  };

  return {
    api,
    roles,
    details,
    runId,
    call,
    request,
    register,
    operationFor,
    credentialsFor,
    assert,
    assertSuccess,
    accepts,
    inputsFor,
    /** Begins a session. */
    async signIn({ basic }: TestUser) {
      const { json } = assertSuccess(await call(operationFor("signIn"), { basic }), "valid credentials do not sign in");
      return { id: String(json["id"]), bearer: String(json["access_token"]), refresh: String(json["refresh_token"]) };
    },
    async token({ basic }: TestUser): Promise<string> {
      const { json } = assertSuccess(await call(operationFor("issue"), { basic }), "valid credentials return no token");
      return String(json["token"]);
    },
    refresh: (refreshToken: string, from?: string) =>
      call(operationFor("refresh"), { body: { refresh_token: refreshToken }, ...(from !== undefined && { from }) }),
  };
}

/** Returns the password or token of a request. */
function secretsOf({ headers }: Request): string[] {
  return headers.flatMap(([name, value]) => {
    if (name !== "Authorization") return [];
    const [scheme = "", text = ""] = value.split(" ");
    const basic = Buffer.from(text, "base64").toString();
    return [scheme === "Basic" ? basic.slice(basic.indexOf(":") + 1) : text].filter((one) => one.length >= 10);
  });
}

export const basicHeader = (name: string, password: string): string =>
  `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;

function authorization({ basic, bearer, raw }: Credentials): [string, string][] {
  const value = raw ?? (basic ? basicHeader(...basic) : bearer === undefined ? undefined : `Bearer ${bearer}`);
  return value === undefined ? [] : [["Authorization", value]];
}
