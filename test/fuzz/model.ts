/**
 * Plays a run of steps, and keeps the books that tell right from wrong: which users there are, what their
 * passwords are, and which tokens work. Nothing here looks into the service.
 */
import { generateKeyPairSync, sign } from "node:crypto";
import type { Answer } from "../support/answers.ts";
import type { Body, Credentials, Step, Value } from "./arbitraries.ts";
import { type Exchange, textOf } from "./curl.ts";
import { type Api, isSecret, kindOf, type Operation, type Schema } from "./operations.ts";
import type { Request } from "./wire.ts";

/** What one run of steps is played against. */
export type Stage = {
  api: Api;
  send(request: Request): Promise<Answer>;
  /** @throws where the contract does not declare such an answer */
  check(method: string, target: string, answer: Answer): void;
  /** Digits of this run alone: no other run makes a user of the same name. */
  tag: string;
  /** Tokens of the service whose time is over. */
  expiredTokens: string[];
};

/** Something is not as it must be. */
export class Finding extends Error {
  readonly exchanges: Exchange[];
  constructor(what: string, exchanges: Exchange[], cause?: unknown) {
    super(what, { cause });
    this.exchanges = exchanges;
  }
}

export type User = { id: string; typed: string; username: string; password: string; exists: boolean };
type Session = { owner: User; hasEnded: boolean };
type Token = { owner: User; session: Session | undefined; works: boolean };
/** Something that an answer, or an accepted request, gave. */
type Given = { name: string; value: string; origin: string; owner: User | undefined };
/** Who credentials belong to. `isExact`: nobody can read them in another way. */
type Proof = { user: User; token: Token | undefined; isExact: boolean };
type Json = Record<string, unknown>;

/**
 * Plays the steps, and what they need before them: a user where there is none yet, a token, and so on.
 * @returns the users that are left
 * @throws {Finding}
 */
export async function play(steps: Step[], { api, send, check, tag, expiredTokens }: Stage): Promise<User[]> {
  const users: User[] = [];
  const sessions = new Map<string, Session>();
  const tokens = new Map<string, Token>();
  const refreshTokens = new Map<string, Session>();
  const pool: Given[] = [];
  const looked = new Set<Operation>();
  const exchanges: Exchange[] = [];

  // What operations do to credentials, and ask for in their bodies: the one thing that the contract says in
  // words only. An operation that is not here leaves all as it is.
  const effects: Record<string, (changed: Changed) => void> = {
    changePassword({ owner, sent }) {
      endAll(owner);
      if (owner) owner.password = String(sent["new_password"]);
    },
    deleteUser({ owner }) {
      endAll(owner);
      if (owner) owner.exists = false;
    },
    endAllSessions: ({ owner }) => endAll(owner),
    endSession: ({ request }) =>
      end(sessions.get(decodeURIComponent(request.target.split("/").at(-1) ?? "").toLowerCase())),
    revokeToken({ token }) {
      end(token?.session);
      if (token) token.works = false;
    },
  };
  const requirements: Record<string, (user: User | undefined, sent: Json) => boolean> = {
    changePassword: (user, sent) => sameText(String(sent["current_password"]), user?.password ?? ""),
    refreshToken: (_user, sent) => refreshTokens.get(String(sent["refresh_token"]))?.hasEnded === false,
  };

  for (const step of steps) await perform(step);
  return users.filter(({ exists }) => exists);

  async function perform(step: Step): Promise<void> {
    const operation = api.operations.find(({ id }) => id === step.operation) as Operation;
    const secrets: string[] = [];
    let target = operation.path;
    for (const [name, part] of Object.entries(step.path)) {
      const text = "raw" in part ? part.raw : spelled(await textValue(part.value, operation), part.spelling);
      target = target.replace(`{${name}}`, () => text);
    }
    const query = [];
    for (const { name, value } of step.query) query.push(`${name}=${percentEncode(await textValue(value, operation))}`);
    query.push(...step.rawQuery);
    if (query.length > 0) target += `?${query.join("&")}`;

    const headers: [string, string][] = [];
    for (const value of await authorization(step.credentials, operation, secrets))
      headers.push(["Authorization", value]);
    headers.push(...step.headers);
    const body = step.body && (await bytesOf(step.body, operation, secrets));
    for (const type of step.body?.types ?? []) headers.push(["Content-Type", type]);
    await exchange({ method: step.method, target, headers, body }, secrets);
  }

  async function exchange(request: Request, secrets: string[]): Promise<void> {
    const gave: Exchange["gave"] = [];
    exchanges.push({ request, gave });
    const wrong = (what: string, cause?: unknown) => {
      return new Finding(`${request.method} ${request.target.slice(0, 200)}: ${what}`, [...exchanges], cause);
    };
    const answer = await send(request).catch((error: Error) => {
      throw wrong(`no answer (${error.message})`, error);
    });
    const said = `${answer.status} ${answer.text.slice(0, 500)}`;
    if (answer.status >= 500) throw wrong(`a fault of the service: ${said}`);
    try {
      check(request.method, request.target, answer);
    } catch (error) {
      throw wrong(`not what the contract declares: ${(error as Error).message}`, error);
    }
    const operation = api.find(request.method, request.target);
    const proof = provenBy(request);
    const json = jsonOf(answer);
    const sent = jsonOfText(request.body?.toString() ?? "");
    const isSuccess = answer.status < 300;
    if (operation) {
      const isProven = operation.schemes.some(
        (scheme) => proof && (scheme === "bearer") === (proof.token !== undefined),
      );
      const isMet = (requirements[operation.id] ?? (() => true))(proof?.user, sent);
      if (isSuccess && operation.schemes.length > 0 && !isProven) throw wrong(`a stranger was let in: ${said}`);
      if (isSuccess && !isMet) throw wrong(`a wrong secret in the body was accepted: ${said}`);
      if (answer.status === 401 && isProven && isMet && proof?.isExact)
        throw wrong(`good credentials were refused: ${said}`);
      if (isSuccess && isProven && typeof json["username"] === "string" && json["username"] !== proof?.user.username) {
        throw wrong(`somebody else's data: ${said}`);
      }
    }
    const echo = echoed(request, answer, json, secrets);
    if (echo !== undefined) throw wrong(`a secret is said back: ${JSON.stringify(echo)} in ${said}`);
    const leak = leaked(request, answer, proof);
    if (leak) throw wrong(`what belongs to ${leak.owner?.username} is told to somebody else: ${leak.name} in ${said}`);
    if (operation && isSuccess && request.method !== "HEAD") learn(operation, request, sent, json, proof, gave);
    // A refresh token that is used again after its time ends the session.
    if (json["type"] === "/problems/token-reused") end(refreshTokens.get(String(sent["refresh_token"])));
  }

  /** Enters what a success gave and changed. */
  function learn(
    operation: Operation,
    request: Request,
    sent: Json,
    json: Json,
    proof: Proof | undefined,
    gave: Exchange["gave"],
  ): void {
    let owner = operation.schemes.length > 0 ? proof?.user : refreshTokens.get(String(sent["refresh_token"]))?.owner;
    if (operation === api.registration) {
      const { username, password } = sent as { username: string; password: string };
      owner = { id: String(json["id"]), typed: username, username: String(json["username"]), password, exists: true };
      users.unshift(owner);
    }
    const changed = { operation, request, sent, owner, token: proof?.token };
    effects[operation.id]?.(changed);
    const session = newSession(json, owner);
    for (const { name, value, place } of stringsOf(json)) {
      if (!operation.givesNamed.has(name)) continue;
      gave.push({ value, place });
      pool.unshift({ name, value, origin: operation.path, owner });
      if (owner && /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(value)) tokens.set(value, { owner, session, works: true });
    }
    if (operation.schemes.length === 0 && operation !== api.registration && !session) return;
    for (const [name, value] of Object.entries(sent)) {
      if (typeof value === "string") pool.unshift({ name, value, origin: operation.path, owner });
    }
  }

  function newSession(json: Json, owner: User | undefined): Session | undefined {
    const { id, refresh_token: refreshToken } = json as { id?: string; refresh_token?: string };
    if (!owner || id === undefined || refreshToken === undefined) return undefined;
    const session = sessions.get(id) ?? { owner, hasEnded: false };
    sessions.set(id, session);
    refreshTokens.set(refreshToken, session);
    return session;
  }

  function end(session: Session | undefined): void {
    if (session) session.hasEnded = true;
    for (const token of tokens.values()) if (session && token.session === session) token.works = false;
  }

  function endAll(owner: User | undefined): void {
    for (const session of sessions.values()) if (session.owner === owner) session.hasEnded = true;
    for (const token of tokens.values()) if (token.owner === owner) token.works = false;
  }

  type Changed = {
    operation: Operation;
    request: Request;
    sent: Json;
    owner: User | undefined;
    token: Token | undefined;
  };

  /** Whose credentials a request has, as far as they hold now. */
  function provenBy({ headers }: Request): Proof | undefined {
    const [value, another] = headers.flatMap(([name, value]) => (name === "Authorization" ? [value] : []));
    const [, scheme = "", text = ""] = /^\s*(\w+)\s+(.*?)\s*$/.exec(value ?? "") ?? [];
    if (another !== undefined) return undefined;
    if (/^bearer$/i.test(scheme)) return holder(text);
    if (!/^basic$/i.test(scheme)) return undefined;
    const [, name = "", password = ""] = /^([^:]*):(.*)$/s.exec(Buffer.from(text, "base64").toString()) ?? [];
    const isSame = (user: User) => [user.typed, user.username].some((known) => sameName(known, name));
    const user = users.find((user) => user.exists && isSame(user) && sameText(user.password, password));
    if (!user) return holder(name);
    const isExact = [user.typed, user.username].includes(name) && user.password === password;
    return {
      user,
      token: undefined,
      isExact: isExact && Buffer.from(`${name}:${password}`).toString("base64") === text,
    };
  }

  function holder(text: string): Proof | undefined {
    const token = tokens.get(text);
    return token?.works ? { user: token.owner, token, isExact: true } : undefined;
  }

  /** A secret of the request that is in the answer, where the contract does not say so. */
  function echoed(request: Request, answer: Answer, json: Json, secrets: string[]): string | undefined {
    const whole = `${JSON.stringify(answer.headers)}${answer.text}`;
    const declared = Object.values(json);
    return secrets.find((secret) => {
      const escaped = JSON.stringify(secret).slice(1, -1);
      if (secret.length < 10 || declared.includes(secret) || api.text.includes(secret)) return false;
      if (!whole.includes(secret) && !whole.includes(escaped)) return false;
      // It may stand in another place of the request, too, where it is no secret.
      const text = textOf(request);
      return (
        text.split(secret).length + text.split(escaped).length - (secret === escaped ? text.split(secret).length : 1) <=
        2
      );
    });
  }

  /** What another user was given, and the answer has although the request has not. */
  function leaked(request: Request, { text }: Answer, proof: Proof | undefined): Given | undefined {
    const sent = textOf(request);
    const known = pool.filter(({ value }) => value.length >= 16);
    // Whoever knows something of a user, such as a refresh token, may be told more.
    const askers = new Set(known.filter(({ value }) => sent.includes(value)).map(({ owner }) => owner));
    askers.add(proof?.user).add(undefined);
    const allowed = new Set(known.filter(({ owner }) => askers.has(owner)).map(({ value }) => value));
    return known.find(({ value }) => !allowed.has(value) && text.includes(value) && !api.text.includes(value));
  }

  /** What an earlier answer gave under such a name, or else what the operation that gives such a thing gives now. */
  async function given(name: string, pick: number, operation: Operation): Promise<string | undefined> {
    const giving = api.operations.filter((one) => one !== operation && one.gives.has(kindOf(name)));
    const fitness = (one: Operation) =>
      (one.givesNamed.has(name) ? 100 : 0) + 10 * nearness(operation, one) - needs(one);
    const giver = giving.sort((a, b) => fitness(b) - fitness(a))[0];
    const find = () => {
      const ofKind = pool.filter((one) => kindOf(one.name) === kindOf(name));
      const named = ofKind.filter((one) => one.name === name);
      const fitting = named.filter(({ origin }) => origin === giver?.path);
      // Mostly what fits best. What does not fit is an input, too.
      return (pick < 4 ? [fitting, named, ofKind, pool] : [pool]).find((found) => found.length > 0);
    };
    if (giver && !looked.has(giver) && !pool.some(({ origin }) => origin === giver.path)) {
      looked.add(giver);
      await perform(plainStep(giver));
    } else if (["username", "password"].includes(kindOf(name))) await somebody();
    const found = find() ?? [];
    return found[pick % found.length]?.value;
  }

  /** A user, made where there is none. */
  async function somebody(pick = 0): Promise<User | undefined> {
    const alive = () => users.filter(({ exists }) => exists);
    if (alive().length === 0 && api.registration) await perform(plainStep(api.registration));
    return alive()[pick % alive().length];
  }

  async function anyToken(pick: number): Promise<string> {
    if (tokens.size === 0) {
      const giving = api.operations.find(({ gives, schemes }) => gives.has("token") && schemes.includes("basic"));
      if (giving) await perform(plainStep(giving));
    }
    const newestFirst = [...tokens.keys()].reverse();
    return newestFirst[pick % newestFirst.length] ?? "eyJhbGciOiJFZERTQSJ9.e30.e30";
  }

  /** The plainest request of an operation that should succeed. */
  function plainStep(operation: Operation): Step {
    const value = ({ name, schema }: { name: string; schema: Schema }): Value =>
      operation === api.registration ? { json: fresh(name, schema) } : { given: name, pick: 0 };
    const members = Object.entries(api.resolve(operation.body?.schema ?? {}).properties ?? {});
    const body = members.map(([name, schema]): [string, Value] => [name, value({ name, schema: api.resolve(schema) })]);
    const { schemes } = operation;
    const token: Credentials = { kind: "token", pick: 0, as: "bearer" };
    const password: Credentials = { kind: "password", pick: 0, typed: false };
    return {
      operation: operation.id,
      method: operation.method,
      credentials: schemes.length === 0 ? { kind: "none" } : schemes.includes("basic") ? password : token,
      path: Object.fromEntries(
        operation.parameters
          .filter((parameter) => parameter.in === "path")
          .map((parameter) => [parameter.name, { value: value(parameter), spelling: "plain" as const }]),
      ),
      query: [],
      rawQuery: [],
      headers: [],
      body: operation.body && { value: { members: body }, types: [operation.body.type], spoil: undefined },
    };
  }

  /** Of users made before others: each has a name of its own. */
  function fresh(name: string, { example }: Schema): unknown {
    return kindOf(name) === "username" ? `${String(example)}.${exchanges.length}.` : example;
  }

  async function authorization(credentials: Credentials, _operation: Operation, secrets: string[]): Promise<string[]> {
    const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
    const asToken = (token: string, as: "bearer" | "basic") => {
      secrets.push(token);
      return [as === "bearer" ? `Bearer ${token}` : basic(token, "unused")];
    };
    switch (credentials.kind) {
      case "none":
        return [];
      case "password": {
        const user = await somebody(credentials.pick);
        if (!user) return [];
        secrets.push(user.password);
        return [basic(credentials.typed ? user.typed : user.username, user.password)];
      }
      case "wrong password": {
        const user = await somebody(credentials.pick);
        const password = personal("password", credentials.password);
        secrets.push(password);
        return [basic(user?.username ?? "nobody", password)];
      }
      case "token":
        return asToken(await anyToken(credentials.pick), credentials.as);
      case "forged token":
        return asToken(forged(await anyToken(credentials.pick), credentials.how), credentials.as);
      case "expired token":
        return asToken(expiredTokens[0] ?? "eyJhbGciOiJFZERTQSJ9.e30.e30", credentials.as);
      case "raw":
        return credentials.headers;
    }
  }

  async function textValue(value: Value, operation: Operation): Promise<string> {
    const text = await render("", value, operation, []);
    const parsed = jsonOfText(`{"value":${text}}`)["value"];
    return typeof parsed === "string" ? parsed : text;
  }

  /** JSON text, since not all that is sent is what JSON.stringify would write. */
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
    const found = "given" in value ? await given(value.given, value.pick, operation) : value.json;
    const own = "json" in value && typeof found === "string" ? personal(name, found) : found;
    if (typeof own === "string" && isSecret(name)) secrets.push(own);
    return JSON.stringify(own ?? null);
  }

  /**
   * Names, and passwords that might be accepted, are of this run alone: two runs cannot meet. The length stays
   * where it is a long one, since lengths are where limits are.
   */
  function personal(name: string, text: string): string {
    const points = [...text];
    const isName = kindOf(name) === "username" && text !== "";
    if (!isName && !(kindOf(name) === "password" && points.length >= 8)) return text;
    return points.length > 2 * tag.length ? points.slice(0, -tag.length).join("") + tag : text + tag;
  }

  async function bytesOf({ value, spoil }: Body, operation: Operation, secrets: string[]): Promise<Buffer> {
    const text = await render("", value, operation, secrets);
    const bytes = Buffer.from(text);
    switch (spoil?.kind) {
      case undefined:
        return bytes;
      case "cut":
        return bytes.subarray(0, spoil.at);
      case "bytes":
        return Buffer.concat([bytes.subarray(0, spoil.at), Buffer.from(spoil.bytes), bytes.subarray(spoil.at)]);
      case "padded":
        return Buffer.concat([bytes, Buffer.alloc(Math.max(0, spoil.to - bytes.length), " ")]);
      case "replaced":
        return Buffer.from(spoil.text);
      case "utf-16":
        return Buffer.from(text, "utf16le");
    }
  }
}

/** How much of their paths two operations have in common. */
function nearness(a: Operation, b: Operation): number {
  const [one, other] = [a.path.split("/"), b.path.split("/")];
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? one.length : at;
}

/** The less an operation asks for, the sooner it gives. */
const needs = ({ parameters, body }: Operation): number => parameters.length + (body ? 1 : 0);

const percentEncode = (text: string) => encodeURIComponent(text.toWellFormed()).replaceAll("'", "%27");

function spelled(text: string, spelling: "plain" | "upper" | "urn" | "escaped"): string {
  if (spelling === "upper") return percentEncode(text.toUpperCase());
  if (spelling === "urn") return `urn:uuid:${percentEncode(text)}`;
  if (spelling === "plain") return percentEncode(text);
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}

// Wider than the service compares, and written anew: who is no stranger by these may still be refused.
const sameName = (a: string, b: string) => foldName(a) === foldName(b);
const foldName = (text: string) => text.normalize("NFKC").toLowerCase().normalize("NFKC");
const sameText = (a: string, b: string) => foldText(a) === foldText(b);
const foldText = (text: string) => text.replace(/\p{Zs}/gu, " ").normalize("NFC");

/** Somebody else's key, by which tokens are forged. */
const stranger = generateKeyPairSync("ed25519");

/** A token that never was issued, made of one that was. */
function forged(token: string, how: number): string {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const encode = (json: unknown) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const claims = (part: string) => jsonOfText(Buffer.from(part, "base64url").toString());
  const signed = (head: Json, body: Json) => {
    const text = `${encode(head)}.${encode(body)}`;
    return `${text}.${sign(null, Buffer.from(text), stranger.privateKey).toString("base64url")}`;
  };
  const jwk = stranger.publicKey.export({ format: "jwk" });
  const ways = [
    () => `${token}x`,
    () => `${header}.${payload}.${signature.slice(0, -1)}${signature.endsWith("A") ? "B" : "A"}`,
    () => `${header}.${payload}.`,
    () => `${encode({ alg: "none", typ: "at+jwt" })}.${payload}.`,
    () =>
      `${header}.${encode({ ...claims(payload), epoch: 99, sub: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b" })}.${signature}`,
    () => signed(claims(header), claims(payload)),
    () => signed({ ...claims(header), jwk }, { ...claims(payload), exp: 4_102_444_800 }),
    () => `${token}==`,
    () => `${header} .${payload}.${signature}`,
    () => token.toUpperCase(),
  ];
  return (ways[how % ways.length] as () => string)();
}

function jsonOf(answer: Answer): Json {
  return /json/.test(answer.headers["content-type"]?.[0] ?? "") ? jsonOfText(answer.text) : {};
}

/** The object that a text is in JSON; an empty one where it is none. */
function jsonOfText(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Json) : {};
  } catch {
    return {};
  }
}

/** Each text in a JSON value, with the name of its member and the way to it in JavaScript. */
function stringsOf(value: unknown, name = "", place = ""): { name: string; value: string; place: string }[] {
  if (typeof value === "string") return [{ name, value, place }];
  if (Array.isArray(value)) return value.flatMap((item, index) => stringsOf(item, name, `${place}[${index}]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([member, of]) => stringsOf(of, member, `${place}[${JSON.stringify(member)}]`));
}
