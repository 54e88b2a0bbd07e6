/**
 * The expected state of the service: its users and their passwords, the valid tokens, and the values that each user was
 * given. It is derived from requests and responses only.
 */
import type { ReceivedResponse } from "../src/openapi/responseValidator.ts";
import { decodeBody } from "./contract/bodies.ts";
import { type Api, isSecret, needsRights, type Operation } from "./contract/operations.ts";
import { rolesOf } from "./contract/roles.ts";
import { type SentRequest, textOf } from "./curl.ts";
import type { Request } from "./http.ts";
import { type Json, jsonOf, stringsOf } from "./json.ts";
import { formValuesOf, redirectValuesOf } from "./returnedValues.ts";

export type User = {
  id: string;
  typed: string;
  username: string;
  password: string;
  exists: boolean;
  isBlocked: boolean;
  /** Whether the user may have the scopes of an administrator, because some roles were assigned. */
  hasRoles: boolean;
};
type Session = { owner: User; hasEnded: boolean };
/** A client of OAuth. `user` stands for it where it acts for itself: it may see all that its scopes allow. */
type OAuthClient = { user: User; isPublic: boolean; secrets: Map<string, string>; exists: boolean };
/** An access token, or an API key if it has a `keyId`. `scopes` is `undefined` for an unlimited token. */
export type Token = {
  owner: User;
  /** The client that got it by OAuth. */
  clientId?: string | undefined;
  /** Whether its client acts for itself. */
  isOfClient?: boolean;
  /** Whether it needs a proof of its key. */
  isBound?: boolean;
  session: Session | undefined;
  isValid: boolean;
  keyId: string | undefined;
  scopes: string[] | undefined;
};
/**
 * A value of a response, or of a request that was accepted.
 * `isUnique`: the service made it for this owner, or it is a secret. Two users may type any other value alike.
 */
export type KnownValue = { name: string; value: string; origin: string; owner: User | undefined; isUnique: boolean };
/** The owner of credentials. `isExact`: they are written in the only form that the service must accept. */
type Proof = { user: User; token: Token | undefined; isClient?: boolean; isExact: boolean };
type PresentedClient = { id: string; secret: string; isInBody: boolean };
/** A request for an operation, and its response. */
type Call = {
  operation: Operation;
  request: Request;
  sent: Json;
  answer: ReceivedResponse;
  json: Json;
  proof: Proof | undefined;
};

export type Model = ReturnType<typeof createModel>;

/**
 * Returns the model of a service without users. Each sequence of requests has its own, and makes its own users.
 * @param administrator the username and password of an administrator, whom all sequences share
 */
export function createModel(api: Api, administrator?: [username: string, password: string]) {
  const [username = "", password = ""] = administrator ?? [];
  const shared: User = { id: "", typed: username, username, password, exists: true, isBlocked: false, hasRoles: true };
  const users: User[] = [];
  const sessions = new Map<string, Session>();
  const tokens = new Map<string, Token>();
  const clients = new Map<string, OAuthClient>();
  /** The client of each grant that a user has listed. */
  const clientsOfGrants = new Map<string, string>();
  const redeemed = new Set<string>();
  const refreshTokens = new Map<string, Session>();
  const pool: KnownValue[] = [];
  const typed: string[] = [];

  const roles = rolesOf(api);

  // The contract says only in prose which operations change credentials, and which of them verify a secret in the body.
  const effects: [Operation | undefined, (call: Call) => void][] = [
    [
      roles.changePassword,
      ({ proof, sent }) => {
        endAll(proof?.user);
        if (sent["keep_api_keys"] !== true) endKeys(proof?.user);
        if (proof) proof.user.password = String(sent["new_password"]);
      },
    ],
    [
      roles.deleteUser,
      ({ proof }) => {
        endAll(proof?.user);
        endKeys(proof?.user);
        if (proof) proof.user.exists = false;
      },
    ],
    [
      roles.changeAnyUser,
      (call) => {
        const user = userAt(call);
        if (!user) return;
        user.hasRoles ||= Array.isArray(call.json["roles"]) && call.json["roles"].length > 0;
        user.isBlocked = call.json["blocked"] === true;
        if (user.isBlocked) endAll(user);
        if (user.isBlocked) endKeys(user);
      },
    ],
    [
      roles.setAnyPassword,
      (call) => {
        const user = userAt(call);
        endAll(user);
        if (call.sent["keep_api_keys"] !== true) endKeys(user);
        if (user) user.password = String(call.sent["new_password"]);
      },
    ],
    [
      roles.deleteAnyUser,
      (call) => {
        const user = userAt(call);
        endAll(user);
        endKeys(user);
        if (user) user.exists = false;
      },
    ],
    [roles.endAnySessions, (call) => endAll(userAt(call))],
    [roles.endAnySession, (call) => end(sessionAt(call))],
    ...roles.endKey.map((operation): (typeof effects)[number] => [
      operation,
      (call) => endKeysWith(({ keyId }) => keyId === lastSegment(operation, call.request).toLowerCase()),
    ]),
    [roles.revokeKey, ({ sent }) => endKeysWith((_, value) => value === sent["key"])],
    [roles.endAllSessions, ({ proof }) => endAll(proof?.user)],
    [roles.endSession, (call) => end(sessionAt(call))],
    [
      roles.revokeToken,
      ({ proof }) => {
        end(proof?.token?.session);
        if (proof?.token) proof.token.isValid = false;
      },
    ],
    [
      roles.revokePresented,
      ({ sent, request }) => {
        const text = String(sent["token"]);
        const token = tokens.get(text);
        // A client revokes its own tokens only.
        const client = presentedClient(request, sent);
        // Any other credentials in the header are ignored, and so is what the body then says.
        const isIgnored = client?.isInBody && request.headers.some(([name]) => name === "Authorization");
        if (client && !isIgnored && client.id !== token?.clientId) return;
        end(token?.session ?? refreshTokens.get(text) ?? (isIssued(text) ? sessionOfToken(text) : undefined));
        if (token) token.isValid = false;
      },
    ],
  ];
  effects.push(
    [
      roles.deleteClient,
      (call) => {
        const id = lastSegment(call.operation, call.request);
        for (const token of tokens.values()) if (token.clientId === id) token.isValid = false;
        const client = clients.get(id);
        if (client) client.exists = false;
      },
    ],
    [
      roles.deleteSecret,
      ({ operation, request }) => {
        const [id, secretId] = [segmentAt(request, 3), lastSegment(operation, request).toLowerCase()];
        clients.get(id)?.secrets.delete(secretId);
      },
    ],
    [
      roles.listGrants,
      ({ json }) => {
        const { grants = [] } = json as { grants?: { id: string; client_id: string }[] };
        for (const { id, client_id } of grants) clientsOfGrants.set(id, client_id);
      },
    ],
    [
      roles.deleteGrant,
      ({ operation, request, proof }) => {
        const client = clientsOfGrants.get(lastSegment(operation, request).toLowerCase());
        for (const token of tokens.values()) {
          if (client !== undefined && token.clientId === client && token.owner === proof?.user) token.isValid = false;
        }
      },
    ],
    [
      roles.listSessions,
      ({ json, proof }) => {
        const { sessions: listed = [] } = json as { sessions?: { id: string }[] };
        // Those of browsers and of clients appear here only.
        for (const { id } of listed)
          if (proof && !sessions.has(id)) sessions.set(id, { owner: proof.user, hasEnded: false });
      },
    ],
    [
      roles.self,
      ({ json, proof }) => {
        // A registration on a page does not return the id.
        if (proof?.user.id === "" && proof.user !== shared) proof.user.id = String(json["id"]);
      },
    ],
    [roles.tokenEndpoint, ({ sent }) => void redeemed.add(String(sent["code"] ?? ""))],
  );
  const requirements: [Operation | undefined, wrong: string, (call: Call) => boolean][] = [
    [
      roles.tokenEndpoint,
      "a client without its secret got tokens",
      ({ request, sent }) => isClientProven(request, sent),
    ],
    [
      roles.tokenEndpoint,
      "an authorization code worked twice",
      ({ sent }) => sent["code"] === undefined || sent["code"] === "" || !redeemed.has(String(sent["code"])),
    ],
    [
      roles.changePassword,
      "a wrong secret in the body was accepted",
      ({ sent, proof }) => sameText(String(sent["current_password"]), proof?.user.password ?? ""),
    ],
    [roles.refresh, "a wrong secret in the body was accepted", ({ sent }) => sessionOf(sent)?.hasEnded === false],
    [
      roles.introspect,
      "a token that is not valid is active",
      ({ sent, json }) => json["active"] !== true || mayBeActive(String(sent["token"])),
    ],
    [
      roles.endSession,
      "another user's session was ended",
      (call) => sessionAt(call) !== undefined && sessionAt(call)?.owner === call.proof?.user,
    ],
  ];

  return { users, pool, tokens, record };

  /**
   * Judges a response that the contract declares, and records what it returned and changed.
   * @param secrets values of the request that no response may contain
   * @returns what is wrong, if anything, and the returned values
   */
  function record(
    request: Request,
    answer: ReceivedResponse,
    secrets: string[],
  ): { wrong?: string; returned: SentRequest["returned"] } {
    const operation = api.find(request.method, request.target);
    const [json, sent] = [jsonOf(isJson(answer) ? answer.text : ""), decodeBody(operation, request.body)];
    const inBody = operation?.acceptsClients
      ? clientOf(String(sent["client_id"]), String(sent["client_secret"]))
      : undefined;
    const proof = ownerOf(request) ?? inBody;
    const call = operation && { operation, request, sent, answer, json, proof };
    const wrong =
      (call && findAccessError(call)) ?? findEcho(request, answer, json, secrets) ?? findLeak(request, answer, proof);
    if (wrong !== undefined) return { wrong, returned: [] };
    // A reused refresh token ends the session.
    if (json["type"] === "/problems/token-reused") end(sessionOf(sent));
    const isDone = answer.status < 300 || (answer.status === 303 && operation?.statuses.includes(303));
    return { returned: call && isDone && request.method !== "HEAD" ? learn(call) : [] };
  }

  /** Returns what is wrong if the credentials were accepted or rejected by mistake, or another user's data returned. */
  function findAccessError(call: Call): string | undefined {
    const { operation, answer, json, proof } = call;
    const isSuccess = answer.status < 300;
    const isOpen = operation.schemes.length === 0;
    const isProven =
      proof !== undefined &&
      operation.schemes.includes(proof.token ? "bearer" : "basic") &&
      (proof.token?.keyId === undefined || operation.acceptsApiKeys) &&
      (!proof.isClient || operation.acceptsClients);
    const unmet = requirements.find(([one, , isMet]) => one === operation && !isMet(call))?.[1];
    const isMet = unmet === undefined;
    if (isSuccess && !isOpen && !isProven) return "a request was accepted without valid credentials";
    if (isSuccess && !isMet) return unmet;
    if (isSuccess && !isOpen && proof && lacksScopes(operation, proof))
      return "a request was accepted without its scopes";
    if (answer.status === 401 && isProven && isMet && proof.isExact) return "valid credentials were rejected";
    const isOfUsers = roles.registration !== undefined && operation.path.startsWith(`${roles.registration.path}/`);
    const isAnotherUsers =
      isOfUsers && typeof json["username"] === "string" && json["username"] !== proof?.user.username;
    return isSuccess && isProven && isAnotherUsers && !proof.user.hasRoles
      ? "another user's data was returned"
      : undefined;
  }

  /** Whether the user or the credential does not have the scopes of an operation. */
  function lacksScopes(operation: Operation, { user, token }: Proof): boolean {
    const isBeyondUser = needsRights(operation) && !user.hasRoles;
    const limits = token?.keyId === undefined ? token?.scopes : undefined; // a key's scopes can be changed
    return isBeyondUser || (limits !== undefined && !operation.scopes.every((scope) => limits.includes(scope)));
  }

  function learn(call: Call): SentRequest["returned"] {
    const { operation, sent, json, proof } = call;
    let owner = operation.schemes.length > 0 ? proof?.user : sessionOf(sent)?.owner;
    if (operation === roles.tokenEndpoint) owner = ownerOfToken(claimsOf(String(json["access_token"])));
    if (operation === api.registration || operation === roles.signUpForm) {
      const { username: typed, password } = sent as { username: string; password: string };
      owner = {
        id: String(json["id"] ?? ""),
        typed,
        // A page does not return the name in the form in which it is stored.
        username: String(json["username"] ?? foldName(typed)),
        password,
        exists: true,
        isBlocked: false,
        hasRoles: Array.isArray(json["roles"]) && json["roles"].length > 0,
      };
      users.unshift(owner);
    }
    for (const [one, effect] of effects) if (one === operation) effect(call);
    typed.push(...stringsOf(sent).flatMap(({ name, value }) => (isSecret(name) ? [] : [value])));
    const session = newSession(json, owner);
    learnClient(call);
    // What an administrator sees belongs to other sequences as well, which go on with it.
    const isShared = operation.method === "GET" && needsRights(operation);
    const returned = isShared ? [] : stringsOf(json).filter(({ name }) => operation.returnedNames.has(name));
    for (const { name, value } of returned) {
      const isUnique = !sharedNames.has(name) && !typed.some((text) => text.includes(value));
      pool.unshift({ name, value, origin: operation.path, owner, isUnique });
      const isKey = name === "key" && typeof json["id"] === "string";
      const claims = claimsOf(value);
      if (owner && isKey)
        tokens.set(value, { owner, session: undefined, isValid: true, keyId: String(json["id"]), scopes: [] });
      // A token for another API does nothing here.
      else if (owner && claims && claims["aud"] === claims["iss"] && name !== "id_token")
        tokens.set(value, {
          owner,
          session: session ?? sessionOfClaims(claims, owner),
          isValid: true,
          keyId: undefined,
          scopes: scopesOf(claims),
          isBound: claims["cnf"] !== undefined,
          ...(operation === roles.tokenEndpoint && {
            clientId: String(claims["client_id"]),
            isOfClient: claims["sub"] === claims["client_id"],
          }),
        });
    }
    const others = [...redirectValuesOf(call.answer, json["redirect_uri"]), ...formValuesOf(call.answer)];
    for (const { name, value } of others)
      pool.unshift({ name, value, origin: operation.path, owner: undefined, isUnique: false });
    for (const [name, value] of Object.entries(sent)) {
      if (!owner || typeof value !== "string") continue;
      pool.unshift({
        name,
        value,
        origin: operation.path,
        owner,
        isUnique: isSecret(name) && operation !== roles.introspect,
      });
    }
    return [...returned, ...others];
  }

  /** Learns a new client, or a new secret of one. */
  function learnClient({ json, request }: Call): void {
    const secret = json["client_secret"];
    const id = typeof json["client_id"] === "string" ? json["client_id"] : segmentAt(request, 3);
    const {
      secrets = [],
      public: isPublic,
      token_endpoint_auth_method: method,
    } = json as {
      secrets?: { id: string }[];
      public?: boolean;
      token_endpoint_auth_method?: string;
    };
    if (method !== undefined && !clients.has(id)) {
      const user: User = { ...shared, id, typed: id, username: id, password: "" };
      clients.set(id, { user, isPublic: isPublic ?? method === "none", secrets: new Map(), exists: true });
    }
    const secretId = secrets[0]?.id ?? json["id"] ?? "first";
    if (typeof secret === "string") clients.get(id)?.secrets.set(String(secretId), secret);
  }

  /** Returns the user for whom a token was issued, or the client that acts for itself. */
  function ownerOfToken(claims: Json | undefined): User | undefined {
    const { sub } = claims ?? {};
    const known = users.find(({ id }) => id === sub) ?? clients.get(String(sub))?.user;
    // A registration on a page does not return the id.
    const registered = known ?? users.find(({ id }) => id === "");
    if (registered && !known) registered.id = String(sub);
    return registered;
  }

  function sessionOfClaims({ sid }: Json, owner: User): Session | undefined {
    if (typeof sid !== "string") return undefined;
    const session = sessions.get(sid) ?? { owner, hasEnded: false };
    sessions.set(sid, session);
    return session;
  }

  /** Returns the id and the secret with which a request authenticates as a client, if it does. */
  function presentedClient({ headers }: Request, sent: Json): PresentedClient | undefined {
    const header = headers.find(([name]) => name === "Authorization")?.[1] ?? "";
    const [, basic = ""] = /^\s*basic\s+(.*?)\s*$/i.exec(header) ?? [];
    const [, name = "", password = ""] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic, "base64").toString()) ?? [];
    if (/^lkc(_|%5f)[0-9a-f]+$/i.test(name)) return { id: decodeURIComponent(name), secret: password, isInBody: false };
    const { client_id: id, client_secret: secret = "" } = sent;
    const isId = typeof id === "string" && /^lkc_[0-9a-f]{32}$/.test(id);
    return isId ? { id, secret: String(secret), isInBody: true } : undefined;
  }

  /** Whether the client of a request for tokens exists, and has proven who it is. */
  function isClientProven(request: Request, sent: Json): boolean {
    const presented = presentedClient(request, sent);
    const client = clients.get(presented?.id ?? "");
    if (!presented || !client) return sent["client_assertion"] !== undefined;
    const isRight = client.isPublic || [...client.secrets.values()].includes(presented.secret);
    return client.exists && isRight;
  }

  /** Returns the user whose id is in the path. */
  function userAt({ operation, request }: Call): User | undefined {
    const id = segmentAt(request, operation.path.split("/").indexOf("{id}")).toLowerCase();
    return users.find((user) => user.id === id);
  }

  function endKeysWith(isEnded: (token: Token, value: string) => boolean): void {
    for (const [value, token] of tokens) if (token.keyId !== undefined && isEnded(token, value)) token.isValid = false;
  }

  function endKeys(owner: User | undefined): void {
    endKeysWith((token) => token.owner === owner);
  }

  function newSession(json: Json, owner: User | undefined): Session | undefined {
    const { id, refresh_token: refreshToken } = json as { id?: string; refresh_token?: string };
    if (!owner || id === undefined || refreshToken === undefined) return undefined;
    const session = sessions.get(id) ?? { owner, hasEnded: false };
    sessions.set(id, session);
    refreshTokens.set(refreshToken, session);
    return session;
  }

  /** Returns the session of the path. */
  function sessionAt({ operation, request }: Call): Session | undefined {
    return sessions.get(lastSegment(operation, request).toLowerCase());
  }

  function end(session: Session | undefined): void {
    if (session) session.hasEnded = true;
    for (const token of tokens.values()) if (session && token.session === session) token.isValid = false;
  }

  function endAll(owner: User | undefined): void {
    for (const session of sessions.values()) if (session.owner === owner) session.hasEnded = true;
    for (const token of tokens.values()) if (token.owner === owner && token.keyId === undefined) token.isValid = false;
  }

  function sessionOf(sent: Json): Session | undefined {
    return refreshTokens.get(String(sent["refresh_token"]));
  }

  /** Whether a response contained this value. */
  function isIssued(text: string): boolean {
    return pool.some(({ value }) => value === text);
  }

  /** The session of an access token, of any audience. */
  function sessionOfToken(text: string): Session | undefined {
    return sessions.get(String(claimsOf(text)?.["sid"]));
  }

  /** Whether a text is a token that has not ended. Tokens for other APIs can end in ways that the model does not know. */
  function mayBeActive(text: string): boolean {
    const token = tokens.get(text);
    if (token) return token.isValid;
    return refreshTokens.has(text) ? refreshTokens.get(text)?.hasEnded === false : isIssued(text);
  }

  /** Returns the owner of the request's credentials, if they are valid now. */
  function ownerOf({ headers }: Request): Proof | undefined {
    const [value, another] = headers.flatMap(([name, value]) => (name === "Authorization" ? [value] : []));
    const [, scheme = "", text = ""] = /^\s*(\w+)\s+(.*?)\s*$/.exec(value ?? "") ?? [];
    if (another !== undefined) return undefined;
    if (/^bearer$/i.test(scheme)) return holder(text, false);
    if (/^dpop$/i.test(scheme)) return holder(text, true);
    if (!/^basic$/i.test(scheme)) return undefined;
    const [, name = "", password = ""] = /^([^:]*):(.*)$/s.exec(Buffer.from(text, "base64").toString()) ?? [];
    const isSame = (user: User) => [user.typed, user.username].some((known) => sameName(known, name));
    const isOwner = (user: User) => user.exists && !user.isBlocked && isSame(user) && sameText(user.password, password);
    const user = administrator && isOwner(shared) ? shared : users.find(isOwner);
    if (!user) return clientOf(name, password) ?? holder(name, false);
    const isExact = [user.typed, user.username].includes(name) && user.password === password;
    return {
      user,
      token: undefined,
      isExact: isExact && Buffer.from(`${name}:${password}`).toString("base64") === text,
    };
  }

  function holder(text: string, hasProof: boolean): Proof | undefined {
    const token = tokens.get(text);
    if (!token?.isValid || (token.isBound ?? false) !== hasProof) return undefined;
    // A key may have expired, and so may a secret that was rotated. A client may have been changed.
    const isExact = token.keyId === undefined && token.clientId === undefined;
    return { user: token.owner, token, isClient: token.isOfClient === true, isExact };
  }

  /** A client that authenticates with its secret. */
  function clientOf(name: string, secret: string): Proof | undefined {
    const client = clients.get(name);
    const isRight = client?.exists && [...client.secrets.values()].includes(secret);
    return isRight ? { user: client.user, token: undefined, isClient: true, isExact: false } : undefined;
  }

  /** Returns what is wrong if the response contains a secret of the request, unless the contract declares that. */
  function findEcho(request: Request, answer: ReceivedResponse, json: Json, secrets: string[]): string | undefined {
    const response = JSON.stringify(answer.headers) + answer.text;
    const declared = Object.values(json);
    const text = textOf(request);
    const echo = secrets.find((secret) => {
      const forms = [...new Set([secret, JSON.stringify(secret).slice(1, -1)])];
      // A short secret, or one that occurs twice in the request, may be in the response for another reason.
      const times = forms.reduce((sum, form) => sum + text.split(form).length - 1, 0);
      const isSignificant =
        secret.length >= 10 && times <= 1 && !declared.includes(secret) && !api.text.includes(secret);
      return isSignificant && forms.some((form) => response.includes(form));
    });
    return echo && `the response contains a secret, ${JSON.stringify(echo)}`;
  }

  /** Returns what is wrong if the response contains a value of another user that the request does not contain. */
  function findLeak(request: Request, { text }: ReceivedResponse, proof: Proof | undefined): string | undefined {
    if (proof?.user.hasRoles) return undefined;
    const sent = `${textOf(request)}\n${decoded(textOf(request))}`;
    const known = pool.filter(({ value }) => value.length >= 16);
    // A client that knows a value of a user, such as a refresh token, may get further values of that user.
    const permittedOwners = new Set(known.filter(({ value }) => sent.includes(value)).map(({ owner }) => owner));
    permittedOwners.add(proof?.user).add(undefined);
    const allowed = new Set(known.filter(({ owner }) => permittedOwners.has(owner)).map(({ value }) => value));
    const leak = known.find(
      ({ value, isUnique }) => isUnique && !allowed.has(value) && text.includes(value) && !api.text.includes(value),
    );
    return leak && `${leak.name} of ${leak.owner?.username} is returned to another user`;
  }
}

/** The text with its escapes decoded, of queries and forms. A malformed escape stays. */
const decoded = (text: string): string =>
  text.replaceAll("+", " ").replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });

/** What several users see alike, although no request contains it. */
const sharedNames = new Set(["client_id", "scope", "kid", "revocation_subjects"]);

const isJson = ({ headers }: ReceivedResponse) => /json/.test(headers["content-type"]?.[0] ?? "");

/** Returns the claims of a JWT. */
function claimsOf(value: string): Json | undefined {
  const [, payload] = /^eyJ[\w-]+\.([\w-]+)\.[\w-]+$/.exec(value) ?? [];
  return payload === undefined ? undefined : jsonOf(Buffer.from(payload, "base64url").toString());
}

const scopesOf = ({ scope }: Json): string[] | undefined => (typeof scope === "string" ? scope.split(" ") : undefined);

/** Returns the value of the last path parameter. */
const lastSegment = ({ path }: Operation, request: Request): string => segmentAt(request, path.split("/").length - 1);

function segmentAt({ target }: Request, at: number): string {
  const segment = target.split("?")[0]?.split("/")[at] ?? "";
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // not percent-encoded UTF-8, so it equals no known value
  }
}

// The mappings of RFC 8265, implemented independently of the service.
const sameName = (a: string, b: string) => foldName(a) === foldName(b);
const foldName = (text: string) => [...text].map(unwiden).join("").toLowerCase().normalize("NFC");

/** Returns the decomposition mapping of a fullwidth or halfwidth character, and any other character unchanged. */
function unwiden(character: string): string {
  if (!/[\u3000\uff01-\uffee]/.test(character)) return character;
  // NFKC would decompose halfwidth Hangul letters further. They are arranged in a row of 30 and in rows of 6.
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
