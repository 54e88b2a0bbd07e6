/**
 * The books that tell right from wrong: which users there are, what their passwords are, which tokens work, and
 * what was given to whom. Nothing here looks into the service.
 */
import type { Answer } from "../src/openapi/responseValidator.ts";
import { type Api, isSecret, type Operation } from "./contract/operations.ts";
import { rolesOf } from "./contract/roles.ts";
import { type SentRequest, textOf } from "./curl.ts";
import type { Request } from "./http.ts";
import { type Json, jsonOf, stringsOf } from "./json.ts";

export type User = { id: string; typed: string; username: string; password: string; exists: boolean };
type Session = { owner: User; hasEnded: boolean };
type Token = { owner: User; session: Session | undefined; works: boolean };
/**
 * Something that an answer returned, or an accepted request.
 * `isOwn`: it was made for this owner. What people type, two may type alike.
 */
export type KnownValue = { name: string; value: string; origin: string; owner: User | undefined; isOwn: boolean };
/** Who credentials belong to. `isExact`: nobody can read them in another way. */
type Proof = { user: User; token: Token | undefined; isExact: boolean };
/** A request for an operation, and its answer. */
type Call = {
  operation: Operation;
  request: Request;
  sent: Json;
  answer: Answer;
  json: Json;
  proof: Proof | undefined;
};

export type Model = ReturnType<typeof createModel>;

/** Model without an entry: for one run of steps, which makes users of its own. */
export function createModel(api: Api) {
  const users: User[] = [];
  const sessions = new Map<string, Session>();
  const tokens = new Map<string, Token>();
  const refreshTokens = new Map<string, Session>();
  const pool: KnownValue[] = [];
  const typed: string[] = [];

  const roles = rolesOf(api);

  // What operations do to credentials, and ask for beyond them: the one thing that the contract says in words only. An
  // operation that has no such role leaves all as it is.
  const effects: [Operation | undefined, (call: Call) => void][] = [
    [
      roles.changePassword,
      ({ proof, sent }) => {
        endAll(proof?.user);
        if (proof) proof.user.password = String(sent["new_password"]);
      },
    ],
    [
      roles.deleteUser,
      ({ proof }) => {
        endAll(proof?.user);
        if (proof) proof.user.exists = false;
      },
    ],
    [roles.endAllSessions, ({ proof }) => endAll(proof?.user)],
    [roles.endSession, (call) => end(sessionAt(call))],
    [
      roles.revokeToken,
      ({ proof }) => {
        end(proof?.token?.session);
        if (proof?.token) proof.token.works = false;
      },
    ],
  ];
  const requirements: [Operation | undefined, wrong: string, (call: Call) => boolean][] = [
    [
      roles.changePassword,
      "a wrong secret in the body was accepted",
      ({ sent, proof }) => sameText(String(sent["current_password"]), proof?.user.password ?? ""),
    ],
    [roles.refresh, "a wrong secret in the body was accepted", ({ sent }) => sessionOf(sent)?.hasEnded === false],
    [
      roles.endSession,
      "somebody else's session was ended",
      (call) => sessionAt(call) !== undefined && sessionAt(call)?.owner === call.proof?.user,
    ],
  ];

  return { users, pool, tokens, record };

  /**
   * Judges an answer that the contract declares, and enters what it returned and changed.
   * @param secrets what the request has and no answer may say
   * @returns what is wrong, if anything, and what it returned
   */
  function record(
    request: Request,
    answer: Answer,
    secrets: string[],
  ): { wrong?: string; returned: SentRequest["returned"] } {
    const operation = api.find(request.method, request.target);
    const proof = provenBy(request);
    const [json, sent] = [jsonOf(isJson(answer) ? answer.text : ""), jsonOf(request.body?.toString() ?? "")];
    const call = operation && { operation, request, sent, answer, json, proof };
    const wrong = (call && misjudged(call)) ?? echoed(request, answer, json, secrets) ?? leaked(request, answer, proof);
    if (wrong !== undefined) return { wrong, returned: [] };
    // A refresh token that is used again after its time ends the session.
    if (json["type"] === "/problems/token-reused") end(sessionOf(sent));
    return { returned: call && answer.status < 300 && request.method !== "HEAD" ? learn(call) : [] };
  }

  /** Who was let in and should not have been, and the other way round. */
  function misjudged(call: Call): string | undefined {
    const { operation, answer, json, proof } = call;
    const isSuccess = answer.status < 300;
    const isOpen = operation.schemes.length === 0;
    const isProven = proof !== undefined && operation.schemes.includes(proof.token ? "bearer" : "basic");
    const unmet = requirements.find(([one, , isMet]) => one === operation && !isMet(call))?.[1];
    const isMet = unmet === undefined;
    if (isSuccess && !isOpen && !isProven) return "a stranger was let in";
    if (isSuccess && !isMet) return unmet;
    if (answer.status === 401 && isProven && isMet && proof.isExact) return "good credentials were refused";
    const isOfUsers = roles.registration !== undefined && operation.path.startsWith(`${roles.registration.path}/`);
    const isAnothers = isOfUsers && typeof json["username"] === "string" && json["username"] !== proof?.user.username;
    return isSuccess && isProven && isAnothers ? "somebody else's data" : undefined;
  }

  function learn(call: Call): SentRequest["returned"] {
    const { operation, sent, json, proof } = call;
    let owner = operation.schemes.length > 0 ? proof?.user : sessionOf(sent)?.owner;
    if (operation === api.registration) {
      const { username: typed, password } = sent as { username: string; password: string };
      owner = { id: String(json["id"]), typed, username: String(json["username"]), password, exists: true };
      users.unshift(owner);
    }
    for (const [one, effect] of effects) if (one === operation) effect(call);
    typed.push(...stringsOf(sent).flatMap(({ name, value }) => (isSecret(name) ? [] : [value])));
    const session = newSession(json, owner);
    const returned = stringsOf(json).filter(({ name }) => operation.returnedNames.has(name));
    for (const { name, value } of returned) {
      const isOwn = !typed.some((text) => text.includes(value));
      pool.unshift({ name, value, origin: operation.path, owner, isOwn });
      if (owner && /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(value)) tokens.set(value, { owner, session, works: true });
    }
    for (const [name, value] of Object.entries(sent)) {
      if (!owner || typeof value !== "string") continue;
      pool.unshift({ name, value, origin: operation.path, owner, isOwn: isSecret(name) });
    }
    return returned;
  }

  function newSession(json: Json, owner: User | undefined): Session | undefined {
    const { id, refresh_token: refreshToken } = json as { id?: string; refresh_token?: string };
    if (!owner || id === undefined || refreshToken === undefined) return undefined;
    const session = sessions.get(id) ?? { owner, hasEnded: false };
    sessions.set(id, session);
    refreshTokens.set(refreshToken, session);
    return session;
  }

  /** The session that the path names. */
  function sessionAt({ operation, request }: Call): Session | undefined {
    return sessions.get(lastSegment(operation, request).toLowerCase());
  }

  function end(session: Session | undefined): void {
    if (session) session.hasEnded = true;
    for (const token of tokens.values()) if (session && token.session === session) token.works = false;
  }

  function endAll(owner: User | undefined): void {
    for (const session of sessions.values()) if (session.owner === owner) session.hasEnded = true;
    for (const token of tokens.values()) if (token.owner === owner) token.works = false;
  }

  function sessionOf(sent: Json): Session | undefined {
    return refreshTokens.get(String(sent["refresh_token"]));
  }

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
    const told = JSON.stringify(answer.headers) + answer.text;
    const declared = Object.values(json);
    const text = textOf(request);
    const echo = secrets.find((secret) => {
      const forms = [...new Set([secret, JSON.stringify(secret).slice(1, -1)])];
      // What is short or stands elsewhere in the request, too, says nothing.
      const times = forms.reduce((sum, form) => sum + text.split(form).length - 1, 0);
      const isTelling = secret.length >= 10 && times <= 1 && !declared.includes(secret) && !api.text.includes(secret);
      return isTelling && forms.some((form) => told.includes(form));
    });
    return echo && `a secret is said back, ${JSON.stringify(echo)}`;
  }

  /** What another user was given, and the answer has although the request has not. */
  function leaked(request: Request, { text }: Answer, proof: Proof | undefined): string | undefined {
    const sent = textOf(request);
    const known = pool.filter(({ value }) => value.length >= 16);
    // Whoever knows something of a user, such as a refresh token, may be told more.
    const askers = new Set(known.filter(({ value }) => sent.includes(value)).map(({ owner }) => owner));
    askers.add(proof?.user).add(undefined);
    const allowed = new Set(known.filter(({ owner }) => askers.has(owner)).map(({ value }) => value));
    const leak = known.find(
      ({ value, isOwn }) => isOwn && !allowed.has(value) && text.includes(value) && !api.text.includes(value),
    );
    return leak && `${leak.name} of ${leak.owner?.username} is told to somebody else`;
  }
}

const isJson = ({ headers }: Answer) => /json/.test(headers["content-type"]?.[0] ?? "");

/** What stands in the path for its last parameter. */
function lastSegment({ path }: Operation, { target }: Request): string {
  const at = path.split("/").length - 1;
  const segment = target.split("?")[0]?.split("/")[at] ?? "";
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // not percent-encoded UTF-8: it names nothing
  }
}

// The mappings of RFC 8265, written independently of the service.
const sameName = (a: string, b: string) => foldName(a) === foldName(b);
const foldName = (text: string) => [...text].map(unwiden).join("").toLowerCase().normalize("NFC");

/** The decomposition mapping of a fullwidth or halfwidth character; any other one as it is. */
function unwiden(character: string): string {
  if (!/[\u3000\uff01-\uffee]/.test(character)) return character;
  // NFKC would decompose the letters of halfwidth Hangul further: these are written in rows of 30 and of 6.
  const code = character.charCodeAt(0);
  if (code === 0xffa0) return "\u3164";
  if (code > 0xffa0 && code <= 0xffbe) return String.fromCharCode(code - 0xffa1 + 0x3131);
  if (code >= 0xffc2 && code <= 0xffdc) {
    const [row, column] = [(code - 0xffc2) >> 3, (code - 0xffc2) & 7];
    return column < 6 ? String.fromCharCode(0x314f + 6 * row + column) : character;
  }
  return code === 0xffe3 ? "\u00af" : character.normalize("NFKC");
}

const sameText = (a: string, b: string) => foldText(a) === foldText(b);
const foldText = (text: string) => text.replace(/\p{Zs}/gu, " ").normalize("NFC");
