/** Faults that are planted into the service, and what of the fuzzer has to find each. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are pieces of source
import type { SourceEdit } from "./build.ts";

export type PlantedFault = {
  /** Also the name of its program in build/. */
  name: string;
  edits: SourceEdit[];
  /** The promise that is broken, or `outages` for what only a service in trouble answers. */
  finds: string;
  /** What is said of it. */
  what: RegExp;
};

const fault = (name: string, finds: string, what: RegExp, ...edits: SourceEdit[]): PlantedFault => ({
  name,
  edits,
  finds,
  what,
});

/** A password that is not taken as it is. */
const password = (name: string, written: string, what: RegExp) =>
  fault(name, "passwords-are-exact", what, [
    "passwords/policy.ts",
    "opaqueString(text) : undefined",
    `opaqueString(${written}) : undefined`,
  ]);

/** A claim that is not looked at. */
const claim = (name: string, from: string, what: RegExp) =>
  fault(name, "claims-are-verified", what, ["tokens/accessTokens.ts", from, ""]);

const algNone = `if (/^none$/i.test(String(decodeProtectedHeader(token).alg))) {
      const { jti, sub, username, epoch, iat, exp } = claims.parse(decodeJwt(token));
      const keyId = String(decodeProtectedHeader(token).kid);
      const principal = { proof: "token", tokenId: jti, keyId, sessionId: undefined, userId: sub, username, epoch };
      return { principal: { ...principal, expiresAt: new Date(exp * 1000) }, issuedAt: iat };
    }
    const kid = keyIdOf(token);`;

export const plantedFaults: PlantedFault[] = [
  password("password-case-folded", "text.toLowerCase()", /in (the other|lower) case/),
  password("password-cut-at-72-bytes", "Buffer.from(text).subarray(0, 72).toString()", /72 bytes/),
  password("password-trimmed", "text.trim()", /blank at the end/),
  password("password-blanks-collapsed", 'text.replace(/ +/g, " ")', /single blanks/),
  password("password-nfkc", 'text.normalize("NFKC")', /NFKC/),
  password("password-accents-dropped", 'text.normalize("NFD").replace(/\\p{M}/gu, "")', /without accents/),
  password("password-ends-at-nul", 'text.split("\\0")[0] ?? ""', /NUL/),
  fault("name-case-sensitive", "names-are-one-user", /does not sign in/, [
    "users/users.ts",
    "const by = { username: username ?? nobody };",
    "const by = { username: username === undefined ? nobody : name };",
  ]),
  fault("basic-lax-base64", "basic-is-strict", /Basic credentials/, [
    "contract/authorization.ts",
    'value === "" || bytes.toString("base64") !== value',
    'value === ""',
  ]),
  fault("basic-lossy-utf-8", "basic-is-strict", /not UTF-8/, ["contract/authorization.ts", "fatal: true, ", ""]),
  fault("basic-drops-byte-order-mark", "basic-is-strict", /byte order mark/, [
    "contract/authorization.ts",
    ", ignoreBOM: true",
    "",
  ]),
  fault(
    "token-alg-none",
    "tokens-cannot-be-forged",
    /alg none/,
    ["tokens/accessTokens.ts", "{ decodeProtectedHeader,", "{ decodeJwt, decodeProtectedHeader,"],
    ["tokens/accessTokens.ts", "const kid = keyIdOf(token);", algNone],
  ),
  fault("token-unused-bits", "tokens-cannot-be-forged", /unused bits|padding|blank/, [
    "tokens/accessTokens.ts",
    'part !== "" && Buffer.from(part, "base64url").toString("base64url") === part',
    'part !== ""',
  ]),
  fault(
    "token-expiry-ignored",
    "claims-are-verified",
    /expired/,
    ["tokens/accessTokens.ts", "currentDate: clock(),", "currentDate: new Date(0),"],
    [
      "tokens/accessTokens.ts",
      "if (principal.expiresAt.getTime() / 1000 <= now) throw expired(principal.expiresAt);",
      "",
    ],
  ),
  claim("token-audience-ignored", "        audience: issuer,\n", /another audience/),
  claim("token-issuer-ignored", "        issuer,\n", /another issuer/),
  claim("token-type-ignored", '        typ: "at+jwt",\n', /another type/),
  fault("token-of-the-future", "claims-are-verified", /of the future/, [
    "tokens/accessTokens.ts",
    "if (issuedAt > now + clockSkewSeconds)",
    "if (issuedAt > now + 1_000_000)",
  ]),
  fault("token-lives-for-months", "claims-are-verified", /lives for/, [
    "tokens/accessTokens.ts",
    "setExpirationTime(issuedAt + seconds)",
    "setExpirationTime(issuedAt + seconds * 10_000)",
  ]),
  fault("change-of-password-ends-nothing", "endings-end", /still works after a change of password/, [
    "users/store.ts",
    "SET password_hash = :passwordHash, token_epoch = token_epoch + 1, password_epoch = token_epoch + 1",
    "SET password_hash = :passwordHash",
  ]),
  fault("sign-out-everywhere-does-nothing", "endings-end", /still works after signing out everywhere/, [
    "sessions/handlers.ts",
    "await users.signOutEverywhere(principal, client);",
    "",
  ]),
  fault("revoked-token-works", "endings-end", /still works after revoking/, [
    "tokens/handlers.ts",
    "await revocations.revoke({",
    "void ({",
  ]),
  fault("ended-session-keeps-its-tokens", "endings-end", /still works after ending the session/, [
    "tokens/revocations.ts",
    "of [tokenId, sessionId, userId,",
    "of [tokenId, userId,",
  ]),
  fault("deleted-user-keeps-tokens", "endings-end", /still works after deleting the user/, [
    "users/store.ts",
    "${everyEpoch} AS minimum_epoch",
    "0 AS minimum_epoch",
  ]),
  fault("anothers-session-ended", "sessions-are-ones-own", /another user's session was ended/, [
    "sessions/store.ts",
    "sessions.id = :id AND user_id = :userId",
    "sessions.id = :id AND :userId::uuid IS NOT NULL",
  ]),
  fault("anothers-sessions-listed", "sessions-are-ones-own", /another user's session is listed/, [
    "sessions/store.ts",
    "WHERE user_id = :userId AND token_epoch = user_epoch\n             AND ended_at",
    "WHERE :userId::uuid IS NOT NULL AND token_epoch = user_epoch\n             AND ended_at",
  ]),
  fault("another-user-read", "users-are-not-told", /another user is read/, [
    "users/users.ts",
    "id.toLowerCase() === caller.userId ? await store.find(caller.userId) : undefined",
    "await store.find(id.toLowerCase() || caller.userId)",
  ]),
  fault(
    "unknown-user-told",
    "users-are-not-told",
    /told from a wrong password/,
    [
      "users/passwordCheck.ts",
      "import { possiblePassword }",
      'import { Problem } from "../contract/problems.ts";\nimport { possiblePassword }',
    ],
    [
      "users/passwordCheck.ts",
      'const reason = account ? "wrong-password" : "unknown-user";',
      'if (!account) throw new Problem("invalid-credentials", { detail: "There is no such user." });\nconst reason = "wrong-password";',
    ],
  ),
  fault("refresh-reuse-ignored", "reuse-is-noticed", /used refresh token works again/, [
    "sessions/refresh.ts",
    "if (reason) {",
    "if (reason && false) {",
  ]),
  fault("refresh-grace-unlimited", "reuse-is-noticed", /used refresh token works again/, [
    "sessions/refresh.ts",
    "if (secondsSinceUse < times.graceSeconds) return true;",
    "return true;",
  ]),
  fault("refresh-from-another-network", "lost-answers-are-given-again", /another network/, [
    "sessions/refresh.ts",
    'return rotation && rotation.network !== network ? "another-network" : undefined;',
    "return undefined;",
  ]),
  fault("session-outlives-theft", "lost-answers-are-given-again", /goes on after the theft/, [
    "sessions/refresh.ts",
    "await parts.endStolenSession(userId, id);",
    "",
  ]),
  fault("refresh-guess-ends-session", "guesses-end-nothing", /ended by guesses|refresh token is answered/, [
    "sessions/refresh.ts",
    "if (!token || !state || !secrets.isGenuine(token, state.seed)) throw",
    "if (token && state && !secrets.isGenuine(token, state.seed)) await parts.endStolenSession(state.userId, token.sessionId);\nif (!token || !state || !secrets.isGenuine(token, state.seed)) throw",
  ]),
  fault("session-limit-ignored", "sessions-are-limited", /more sessions than the limit/, [
    "sessions/store.ts",
    "OFFSET :others)",
    "OFFSET :others::integer + 1000)",
  ]),
  fault("page-too-long", "pages-are-whole", /a page of 2 has 3/, [
    "sessions/sessions.ts",
    "found.slice(0, limit)",
    "found",
  ]),
  fault("page-repeats-its-end", "pages-are-whole", /pages/, [
    "sessions/store.ts",
    "sessions.id < :cursor::uuid",
    "sessions.id <= :cursor::uuid",
  ]),
  fault("token-buys-a-token", "credentials-are-declared", /a stranger was let in|type must be equal/, [
    "contract/guard.ts",
    'credentials?.scheme === "bearer" && takes("bearerAuth")',
    'credentials?.scheme === "bearer"',
  ]),
  fault("challenge-missing", "credentials-are-declared", /WWW-Authenticate|challenges/, [
    "contract/dispatch.ts",
    "problem.status === 401 && operation",
    "problem.status === 499 && operation",
  ]),
  fault("challenge-without-basic", "credentials-are-declared", /the challenges are for/, [
    "contract/guard.ts",
    "return offered.map(",
    'return offered.filter((scheme) => offered.length === 1 || scheme !== "basicAuth").map(',
  ]),
  fault("weak-password-by-change", "weak-passwords-are-refused", /can be changed to/, [
    "users/users.ts",
    "await enforcePolicy(accepted, turn);",
    "",
  ]),
  fault(
    "password-changed-without-the-old-one",
    "weak-passwords-are-refused",
    /changed with a wrong one/,
    ["users/users.ts", "if (!confirmed) throw wrong;\n    const turn", "const turn"],
    ["users/users.ts", "confirmed.epoch, passwordHash", "caller.epoch, passwordHash"],
  ),
  fault("fault-at-a-length", "bounds-are-kept", /a fault of the service/, [
    "users/users.ts",
    'const accepted = requireAccepted(newPassword(password), "#/password");\n    const attempt',
    'if (password.length === 73) throw new Error("73");\nconst accepted = requireAccepted(newPassword(password), "#/password");\n    const attempt',
  ]),
  fault("status-undeclared", "endings-end", /is not declared/, [
    "contract/dispatch.ts",
    "response.writeHead(status, [",
    "response.writeHead(status === 204 ? 202 : status, [",
  ]),
  fault("member-undeclared", "passwords-are-exact", /additional properties/, [
    "users/handlers.ts",
    "  username,\n  created_at",
    "  username,\n  token_epoch: 0,\n  created_at",
  ]),
  fault("header-undeclared", "passwords-are-exact", /undeclared header/, [
    "contract/dispatch.ts",
    "...fixedHeaders,\n",
    '...fixedHeaders,\n"X-Powered-By", "Latchkey",\n',
  ]),
  fault("problem-of-another-type", "passwords-are-exact", /is of type/, [
    "contract/dispatch.ts",
    'inUtf8("application/problem+json")',
    'inUtf8("application/json")',
  ]),
  fault("problem-is-cached", "passwords-are-exact", /Cache-Control/, [
    "contract/dispatch.ts",
    '"no-store",\n  "Content-Type"',
    '"public, max-age=300",\n  "Content-Type"',
  ]),
  fault("password-said-back", "passwords-are-exact", /a secret is said back/, [
    "users/users.ts",
    'if (!principal) throw new Problem("invalid-credentials");\n    return',
    'if (!principal) throw new Problem("invalid-credentials", { detail: `Not ${password}.` });\n    return',
  ]),
  fault("etag-weak", "head-is-get", /ETag/, ["contract/prepared.ts", '`"${createHash', '`W/"${createHash']),
  fault("etag-ignored", "head-is-get", /If-None-Match with its ETag/, [
    "contract/prepared.ts",
    "ifNoneMatch !== undefined && fresh",
    'ifNoneMatch === "never" && fresh',
  ]),
  fault("head-refused", "head-is-get", /HEAD/, [
    "contract/dispatch.ts",
    'if (request.method === "HEAD") request.method = "GET";',
    'if (request.method === "HEAD") throw new Problem("invalid-request");',
  ]),
  fault("allow-incomplete", "nothing-else-is-served", /Allow/, [
    "contract/dispatch.ts",
    'method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()]',
    "[method.toUpperCase()]",
  ]),
  fault("other-sites-change-things", "inputs-are-checked", /another site/, [
    "contract/dispatch.ts",
    'if (operation.method !== "get") refuseCrossSite(request);',
    "",
  ]),
  fault("shown-to-every-origin", "other-origins-read-nothing", /other origins/, [
    "contract/dispatch.ts",
    '...transportHeaders,\n      "X-Request-Id"',
    '...transportHeaders,\n      "Access-Control-Allow-Origin", "*", "X-Request-Id"',
  ]),
  fault("location-leads-nowhere", "locations-lead", /is no path of the contract/, [
    "users/handlers.ts",
    "/api/users/${user.id}",
    "/api/people/${user.id}",
  ]),
  fault("guesses-unlimited", "outages", /six wrong passwords/, [
    "accounts.ts",
    "config.throttle\n      ? createThrottle(",
    "config.throttle && false\n      ? createThrottle(",
  ]),
  fault("retry-after-missing", "outages", /without Retry-After/, [
    "contract/problems.ts",
    "this.status === 503 &&",
    "this.status === 599 &&",
  ]),
  fault("fault-tells-of-the-inside", "outages", /tells of the inside/, [
    "contract/problems.ts",
    "title: problems[this.slug].title,",
    "title: String((this.cause as Error | undefined)?.message ?? problems[this.slug].title),",
  ]),
  fault("always-ready", "outages", /readyz is 200 while the database is away/, [
    "operations/handlers.ts",
    "if (!(await isMigrated()))",
    "if (isStopping())",
  ]),
];

/** Faults that the fuzzer cannot find, and why. */
export const unfindable: Record<string, string> = {
  "a HEAD with a body": "Node's server writes no body to a HEAD, whatever the program gives it.",
  "a slower answer for users who exist":
    "Times are measured by test/sameWork.test.ts, which counts the work: a clock on a shared machine does not tell.",
  "a session that outlives SESSION_LIFETIME_DAYS":
    "Time cannot be sent over HTTP: tests with a clock of their own move it.",
};
