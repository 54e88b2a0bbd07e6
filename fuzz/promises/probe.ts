/** What a promise is checked with: requests that are recorded and validated against the contract, users, and findings. */
import type { Answer } from "../../src/openapi/responseValidator.ts";
import { type Api, isReference, type Operation, sourcesOf } from "../contract/operations.ts";
import { type Roles, rolesOf } from "../contract/roles.ts";
import type { SentRequest } from "../curl.ts";
import { Finding } from "../finding.ts";
import { sampleOf } from "../generators/plainest.ts";
import type { Request } from "../http.ts";
import { type Json, jsonOf, stringsOf } from "../json.ts";

/** What a promise needs of the service beside its address; without it, the promise is not checked. */
export type ServiceDetails = {
  /** Signs claims with the service's own key: a token that only the service itself could have made. */
  sign?: ((header: Json, claims: Json) => Promise<string>) | undefined;
  /** How many sessions a user may have. */
  sessionsPerUser?: number | undefined;
  /** For how long a used refresh token gets the same successor again, in seconds. */
  refreshGraceSeconds?: number | undefined;
};

export type ServiceAccess = ServiceDetails & {
  api: Api;
  /** @param from the address to send from, where it is not the usual one */
  send(request: Request, from?: string): Promise<Answer>;
  /** @throws where the contract does not declare such an answer */
  check(method: string, target: string, answer: Answer): void;
  /** Digits of this run alone: no other run makes a user of the same name. */
  runId: string;
  /** Whether a 429 or a 503 is what is looked for. */
  isDegraded?: boolean;
};

export type Credentials = { basic?: [username: string, password: string]; bearer?: string; raw?: string };
export type Sent = Credentials & {
  /** Instead of the operation's own. */
  method?: string;
  path?: Record<string, string>;
  query?: string;
  body?: unknown;
  /** Instead of a body in JSON. */
  bytes?: Buffer;
  headers?: [string, string][];
  from?: string;
};
export type Reply = Answer & { json: Json; slug: string };
export type TestUser = { id: string; username: string; password: string; basic: [string, string] };

/** Something that is needed for a promise is not there. The promise is neither kept nor broken. */
export class Unchecked extends Error {}

export type Probe = ReturnType<typeof createProbe>;

/** Hard to guess, and short enough to be estimated quickly. */
const plainPassword = (runId: string): string => `Otters § ${runId} glow`;

/** Long, in both cases, with blanks, and with characters that have another normal form. */
export const strongPassword = (runId: string): string =>
  `Crème  brûlée oﬃce Ｆour gleaming LANTERNS beside ${runId} wandering otters, Which nobody ever counted`;

export function createProbe({ api, send, check, runId, isDegraded = false, ...details }: ServiceAccess) {
  const sentRequests: SentRequest[] = [];
  const roles = rolesOf(api);
  let userCount = 0;

  const finding = (what: string, cause?: unknown) => new Finding(what, [...sentRequests], cause);

  /** Sends a request for an operation. @throws {Finding} where its answer is none that the contract declares */
  async function call(operation: Operation, sent: Sent = {}): Promise<Reply> {
    const { path = {}, query, headers = [], body, bytes } = sent;
    const filled = operation.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? "x"));
    const payload = bytes ?? (body === undefined ? undefined : Buffer.from(JSON.stringify(body)));
    const hasType = headers.some(([name]) => name === "Content-Type");
    return request(
      {
        method: sent.method ?? operation.method,
        target: query === undefined ? filled : `${filled}?${query}`,
        headers: [
          ...authorization(sent),
          ...(payload && !hasType ? [["Content-Type", "application/json"] as [string, string]] : []),
          ...headers,
        ],
        body: payload,
      },
      sent.from,
    );
  }

  async function request(request: Request, from?: string): Promise<Reply> {
    const done: SentRequest = { request, returned: [] };
    sentRequests.push(done);
    const where = `${request.method} ${request.target.slice(0, 200)}`;
    const answer = await send(request, from).catch((error: Error) => {
      throw finding(`${where}: no answer (${error.message})`, error);
    });
    const said = `${answer.status} ${answer.text.slice(0, 300)}`;
    if (answer.status >= 500 && !isDegraded) throw finding(`${where}: a fault of the service: ${said}`);
    if (answer.status === 429 && !isDegraded) throw new Unchecked("the service limits guesses");
    try {
      check(request.method, request.target, answer);
    } catch (error) {
      throw finding(`${where}: not what the contract declares: ${(error as Error).message}`, error);
    }
    const secret = secretsOf(request).find((one) => answer.text.includes(JSON.stringify(one).slice(1, -1)));
    if (secret !== undefined) throw finding(`${where}: a secret is said back, ${JSON.stringify(secret)}`);
    const json = jsonOf(answer.text);
    if (answer.status < 300) done.returned = stringsOf(json);
    const type = json["type"];
    return { ...answer, json, slug: typeof type === "string" ? type.replace("/problems/", "") : "" };
  }

  /** Registers a user of this run alone. */
  async function register(password = plainPassword(runId), name = `Prüfer${runId}x${++userCount}`): Promise<TestUser> {
    const registration = operationFor("registration");
    const { status, json, text } = await call(registration, { body: { username: name, password } });
    if (status !== 201) throw finding(`a user who is as the contract asks is not registered: ${status} ${text}`);
    const username = String(json["username"]);
    return { id: String(json["id"]), username, password, basic: [username, password] };
  }

  /** @throws {Unchecked} where the contract has no such operation */
  function operationFor(role: keyof Roles): Operation {
    const operation = roles[role];
    if (!operation) throw new Unchecked(`the contract has no operation for ${role}`);
    return operation;
  }

  /** @throws {Finding} unless the condition holds */
  function assert(condition: boolean, what: string): void {
    if (!condition) throw finding(what);
  }

  /** @throws {Finding} unless the answer is a success */
  function assertSuccess(reply: Reply, what: string): Reply {
    assert(reply.status < 300, `${what}: ${reply.status} ${reply.text.slice(0, 200)}`);
    return reply;
  }

  /** Whether credentials open what anybody reads about themselves. @throws {Finding} where the answer is neither yes nor no */
  async function accepts(credentials: Credentials): Promise<boolean> {
    const { status } = await call(operationFor("opened"), credentials);
    assert([200, 400, 401].includes(status), `credentials are answered with ${status}`);
    return status === 200;
  }

  /**
   * What makes an operation succeed for this user: its parameters and body from the contract's examples, and from what
   * another operation returnedKinds where it refers to that.
   * @returns `undefined` where something is referred to that cannot be had
   */
  async function inputsFor(operation: Operation, user: TestUser): Promise<Sent | undefined> {
    const path: Record<string, string> = {};
    for (const parameter of operation.parameters.filter((one) => one.in === "path")) {
      const [giver] = isReference(parameter.name) ? sourcesOf(api, operation, parameter.name) : [];
      const value = giver ? await givenBy(giver, parameter.name, user) : parameter.examples[0];
      if (value === undefined) return undefined;
      path[parameter.name] = String(value);
    }
    const query = new URLSearchParams();
    for (const { in: place, required, name, examples, schema } of operation.parameters) {
      if (place === "query" && required) query.set(name, String(examples[0] ?? sampleOf(api, schema)));
    }
    const headers = operation.parameters
      .filter(({ in: place, required }) => place === "header" && required)
      .map(({ name, examples, schema }): [string, string] => [name, String(examples[0] ?? sampleOf(api, schema))]);
    const { body } = operation;
    return {
      path,
      ...(query.size > 0 && { query: query.toString() }),
      headers,
      ...(body && { body: body.examples[0] ?? sampleOf(api, body.schema) }),
      ...credentialsFor(operation, user),
    };
  }

  async function givenBy(giver: Operation, name: string, user: TestUser): Promise<string | undefined> {
    if (giver === roles.registration || giver === roles.self) return user.id;
    if (giver.parameters.some((one) => one.in === "path")) return undefined;
    const inputs = await inputsFor(giver, user);
    const { status, json } = await call(giver, inputs);
    const given = stringsOf(json);
    const found = given.find((one) => one.name === name) ?? given.find((one) => one.name === name.split("_").at(-1));
    return status < 300 ? found?.value : undefined;
  }

  const credentialsFor = ({ schemes }: Operation, { basic }: TestUser): Credentials =>
    schemes.includes("basic") ? { basic } : {};

  return {
    api,
    roles,
    details,
    runId,
    call,
    request,
    register,
    operationFor,
    assert,
    assertSuccess,
    accepts,
    inputsFor,
    /** A new session of a user. */
    async signIn({ basic }: TestUser) {
      const { json } = assertSuccess(await call(operationFor("signIn"), { basic }), "good credentials do not sign in");
      return { id: String(json["id"]), bearer: String(json["access_token"]), refresh: String(json["refresh_token"]) };
    },
    async token({ basic }: TestUser): Promise<string> {
      const { json } = assertSuccess(await call(operationFor("issue"), { basic }), "good credentials give no token");
      return String(json["token"]);
    },
    refresh: (refreshToken: string, from?: string) =>
      call(operationFor("refresh"), { body: { refresh_token: refreshToken }, ...(from !== undefined && { from }) }),
  };
}

/** The password or the token by which a request proves itself. */
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
