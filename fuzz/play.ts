/** Plays a sequence of steps: fills in the values of earlier responses, sends the requests and judges the responses. */
import type { ReceivedResponse } from "../src/openapi/responseValidator.ts";
import { encodeBody, encodeForm, isForm } from "./contract/bodies.ts";
import { type Api, isSecret, kindOf, type Operation, sourcesOf } from "./contract/operations.ts";
import type { SentRequest } from "./curl.ts";
import { Finding } from "./finding.ts";
import { forged } from "./forgedTokens.ts";
import { authorizationQuery } from "./generators/flows.ts";
import { simplestStep } from "./generators/simplest.ts";
import { type Request, validatedAs } from "./http.ts";
import { jsonOf } from "./json.ts";
import { createModel, type Token, type User } from "./model.ts";
import type { Body, Credentials, Step, Value } from "./plan.ts";
import { proofFor } from "./proofs.ts";
import { cookiesOf } from "./returnedValues.ts";

/** The service under test. */
export type ServiceAccess = {
  api: Api;
  send(request: Request): Promise<ReceivedResponse>;
  /** Throws if the contract does not declare the response. */
  check(method: string, target: string, answer: ReceivedResponse): void;
  /** Digits that no other sequence has, so that usernames differ. */
  runId: string;
  /** Tokens that the service issued and that have expired. */
  expiredTokens: string[];
  /** The username and password of an administrator, if there is one. */
  administrator?: [username: string, password: string] | undefined;
  /** The origin of its URLs. */
  issuer: string;
  /** Begins an authorization for the page of a team. Returns its id. */
  beginAuthorization?: ((query: string) => Promise<string | undefined>) | undefined;
};

/**
 * Plays the steps, and before them whatever they need, such as a user or a token.
 * @returns the users that exist afterwards
 * @throws {Finding}
 */
export async function play(steps: Step[], access: ServiceAccess): Promise<User[]> {
  const { api, send, check, runId, expiredTokens, administrator, issuer, beginAuthorization } = access;
  const model = createModel(api, administrator);
  const triedSources = new Set<Operation>();
  const sentRequests: SentRequest[] = [];
  /** Those of the browser, which all users of this sequence share. */
  const cookies = new Map<string, string>();

  /** A part of usernames that differs between the users of this sequence. */
  const unique = () => String(sentRequests.length);

  for (const step of steps) await perform(step);
  return model.users.filter(({ exists }) => exists);

  async function perform(step: Step): Promise<void> {
    const operation = api.operations.find(({ id }) => id === step.operation) as Operation;
    const secrets: string[] = [];
    let target = operation.path;
    for (const [name, part] of Object.entries(step.path)) {
      const text = "raw" in part ? part.raw : encodeAs(await textValue(part.value, operation), part.spelling);
      target = target.replace(`{${name}}`, () => text);
    }
    const query = [];
    for (const { name, value } of step.query) query.push(`${name}=${percentEncode(await textValue(value, operation))}`);
    query.push(...step.rawQuery);
    if (query.length > 0) target += `?${query.join("&")}`;

    const headers: [string, string][] = [];
    // `DELETE /api/users/{id}` with the id `me` would delete the administrator, whom all sequences share.
    const isOther = (api.find(step.method, target)?.path ?? operation.path) !== operation.path;
    const credentials: Credentials =
      isOther && step.credentials.kind === "administrator" ? { kind: "none" } : step.credentials;
    for (const value of await authorization(credentials, secrets)) headers.push(["Authorization", value]);
    headers.push(...step.headers);
    if (step.proof) headers.push(["DPoP", await proofOf(step, target, credentials)]);
    const cookie = step.cookie ?? [...cookies].map((pair) => pair.join("=")).join("; ");
    if (cookie !== "" && takesCookies(operation)) headers.push(["Cookie", cookie]);
    const body = step.body && (await bytesOf(step.body, operation, secrets));
    for (const type of step.body?.types ?? []) headers.push(["Content-Type", type]);
    await sendRequest({ method: step.method, target, headers, body }, secrets);
  }

  async function sendRequest(request: Request, secrets: string[]): Promise<void> {
    const sent: SentRequest = { request, returned: [] };
    sentRequests.push(sent);
    const finding = (what: string, cause?: unknown) =>
      new Finding(`${request.method} ${request.target.slice(0, 200)}: ${what}`, [...sentRequests], cause);
    const answer = await send(request).catch((error: Error) => {
      throw finding(`no response (${error.message})`, error);
    });
    const summary = `${answer.status} ${answer.text.slice(0, 500)}`;
    if (answer.status >= 500) throw finding(`a server error: ${summary}`);
    try {
      check(...validatedAs(request, answer), answer);
    } catch (error) {
      throw finding(`not declared by the contract: ${(error as Error).message}`, error);
    }
    const { wrong, returned } = model.record(request, answer, secrets);
    if (wrong !== undefined) throw finding(`${wrong}: ${summary}`);
    const newCookies = cookiesOf(answer);
    for (const { name, value } of newCookies) {
      if (value === "") cookies.delete(name);
      else cookies.set(name, value);
    }
    sent.returned = [...returned, ...newCookies];
  }

  async function proofOf({ proof, method }: Step, target: string, credentials: Credentials): Promise<string> {
    const token = credentials.kind === "issued token" ? latest("access_token") : undefined;
    const url = `${issuer}${target.split("?")[0]}`;
    return proofFor(proof ?? "valid", { method, url, ...(token !== undefined && { token }) });
  }

  /** Returns the newest value that a response returned under this name. */
  function latest(name: string): string | undefined {
    return model.pool.find((one) => one.name === name)?.value;
  }

  /** Returns the id of an authorization of the newest client, which it begins if there is none. */
  async function authorizationId(): Promise<string | undefined> {
    const known = latest("authorization_id");
    const client = latest("client_id");
    if (known !== undefined || client === undefined || !beginAuthorization) return known;
    const id = await beginAuthorization(authorizationQuery(client));
    const shared = { origin: "", owner: undefined, isUnique: false };
    if (id !== undefined) model.pool.unshift({ name: "authorization_id", value: id, ...shared });
    return id;
  }

  /** Returns a value that an earlier response returned under this name, or requests one. */
  async function returned(name: string, pick: number, operation: Operation): Promise<string | undefined> {
    if (pick < 4 && kindOf(name) === "username") return (await existingUser(pick))?.username;
    if (pick < 4 && kindOf(name) === "password") return (await existingUser(pick))?.password;
    const [source] = sourcesOf(api, operation, name);
    const find = () => {
      const ofKind = model.pool.filter((one) => kindOf(one.name) === kindOf(name));
      const named = ofKind.filter((one) => one.name === name);
      const fitting = named.filter(({ origin }) => origin === source?.path);
      // Mostly the value that fits best, but a wrong one is an input as well.
      return (pick < 4 ? [fitting, named, ofKind, model.pool] : [model.pool]).find((found) => found.length > 0);
    };
    if (source && !triedSources.has(source) && !model.pool.some(({ origin }) => origin === source.path)) {
      triedSources.add(source);
      await perform(simplestStep(api, source, unique()));
    }
    const found = find() ?? [];
    return found[pick % found.length]?.value;
  }

  /** Returns a user, and registers one if there is none. */
  async function existingUser(pick = 0): Promise<User | undefined> {
    const alive = () => model.users.filter(({ exists, isBlocked }) => exists && !isBlocked);
    if (alive().length === 0 && api.registration) await perform(simplestStep(api, api.registration, unique()));
    return alive()[pick % alive().length];
  }

  async function anyToken(pick: number): Promise<string> {
    // The simplest choice is a valid token.
    const needsValid = pick === 0 && ![...model.tokens.values()].some(isUnlimited);
    if (model.tokens.size === 0 || needsValid) {
      const issuing = api.operations.find(
        ({ returnedKinds, schemes }) => returnedKinds.has("token") && schemes.includes("basic"),
      );
      if (issuing) await perform(simplestStep(api, issuing, unique()));
    }
    const newestFirst = [...model.tokens.keys()].reverse();
    const working = newestFirst.find((token) => isUnlimited(model.tokens.get(token)));
    if (pick === 0 && working !== undefined) return working;
    return newestFirst[pick % newestFirst.length] ?? "eyJhbGciOiJFZERTQSJ9.e30.e30";
  }

  async function authorization(credentials: Credentials, secrets: string[]): Promise<string[]> {
    const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
    const asToken = (token: string, as: "bearer" | "basic") => {
      secrets.push(token);
      return [as === "bearer" ? `Bearer ${token}` : basic(token, "unused")];
    };
    switch (credentials.kind) {
      case "none":
        return [];
      case "password": {
        const user = await existingUser(credentials.pick);
        if (!user) return [];
        secrets.push(user.password);
        return [basic(credentials.typed ? user.typed : user.username, user.password)];
      }
      case "administrator":
        return administrator ? [basic(...administrator)] : [];
      case "wrong password": {
        const user = await existingUser(credentials.pick);
        const password = makeUnique("password", credentials.password);
        secrets.push(password);
        return [basic(user?.username ?? "nobody", password)];
      }
      case "token":
        return asToken(await anyToken(credentials.pick), credentials.as);
      case "forged token":
        return asToken(forged(await anyToken(credentials.pick), credentials.how), credentials.as);
      case "expired token":
        return asToken(expiredTokens[0] ?? "eyJhbGciOiJFZERTQSJ9.e30.e30", credentials.as);
      case "client": {
        const secret = latest("client_secret") ?? "none";
        secrets.push(secret);
        return [basic(latest("client_id") ?? "nobody", secret)];
      }
      case "issued token": {
        const token = latest("access_token") ?? "none";
        secrets.push(token);
        return [`${credentials.as === "dpop" ? "DPoP" : "Bearer"} ${token}`];
      }
      case "raw":
        return credentials.headers;
    }
  }

  async function textValue(value: Value, operation: Operation): Promise<string> {
    const text = await render("", value, operation, []);
    const parsed = jsonOf(`{"value":${text}}`)["value"];
    return typeof parsed === "string" ? parsed : text;
  }

  /** Returns JSON text. Some steps send text that JSON.stringify would not write. */
  async function render(name: string, value: Value, operation: Operation, secrets: string[]): Promise<string> {
    if ("raw" in value) return value.raw;
    if ("items" in value) {
      const items = [];
      for (const item of value.items) items.push(await render(name, item, operation, secrets));
      return `[${items.join()}]`;
    }
    if ("members" in value) {
      const members = [];
      for (const [member, of] of value.members) {
        members.push(`${JSON.stringify(member)}:${await render(member, of, operation, secrets)}`);
      }
      return `{${members.join()}}`;
    }
    const found = await filledIn(value, operation);
    const own = "json" in value && typeof found === "string" ? makeUnique(name, found) : found;
    // The token of a form is in the page that the response shows.
    if (typeof own === "string" && isSecret(name) && !(name === "token" && takesCookies(operation))) secrets.push(own);
    return JSON.stringify(own ?? null);
  }

  async function filledIn(value: Value, operation: Operation): Promise<unknown> {
    if ("returned" in value) return (await returned(value.returned, value.pick, operation)) ?? value.otherwise;
    if ("latest" in value)
      return value.latest === "authorization_id" ? await authorizationId() : (latest(value.latest) ?? "none");
    return "json" in value ? value.json : undefined;
  }

  /**
   * Makes usernames, and passwords that might be accepted, unique to this sequence. A long text keeps its length, which
   * may be at a limit.
   */
  function makeUnique(name: string, text: string): string {
    const points = [...text];
    const isName = kindOf(name) === "username" && text !== "";
    if (!isName && !(kindOf(name) === "password" && points.length >= 8)) return text;
    return points.length > 2 * runId.length ? points.slice(0, -runId.length).join("") + runId : text + runId;
  }

  /** A name may occur twice in a form. */
  async function textOf(value: Value, operation: Operation, secrets: string[]): Promise<string> {
    if (!isForm(operation) || !("members" in value) || value.members.length === 0)
      return encodeBody(operation, await render("", value, operation, secrets));
    const members: [string, string][] = [];
    for (const [name, of] of value.members) members.push([name, await render(name, of, operation, secrets)]);
    return encodeForm(members);
  }

  async function bytesOf({ value, corruption }: Body, operation: Operation, secrets: string[]): Promise<Buffer> {
    const text = await textOf(value, operation, secrets);
    const bytes = Buffer.from(text);
    switch (corruption?.kind) {
      case undefined:
        return bytes;
      case "cut":
        return bytes.subarray(0, corruption.at);
      case "bytes":
        return Buffer.concat([
          bytes.subarray(0, corruption.at),
          Buffer.from(corruption.bytes),
          bytes.subarray(corruption.at),
        ]);
      case "padded":
        return Buffer.concat([bytes, Buffer.alloc(Math.max(0, corruption.to - bytes.length), " ")]);
      case "appended":
        return Buffer.concat([bytes, Buffer.from(corruption.text)]);
      case "replaced":
        return Buffer.from(corruption.text);
      case "utf-16":
        return Buffer.from(text, "utf16le");
    }
  }
}

const takesCookies = ({ parameters }: Operation): boolean => parameters.some((one) => one.in === "cookie");

const isUnlimited = (token: Token | undefined): boolean =>
  token?.isValid === true && token.keyId === undefined && token.scopes === undefined;

const percentEncode = (text: string) => encodeURIComponent(text.toWellFormed()).replaceAll("'", "%27");

function encodeAs(text: string, spelling: "plain" | "upper" | "urn" | "escaped"): string {
  if (spelling === "upper") return percentEncode(text.toUpperCase());
  if (spelling === "urn") return `urn:uuid:${percentEncode(text)}`;
  if (spelling === "plain") return percentEncode(text);
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}
