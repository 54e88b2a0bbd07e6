// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the strings are source text
/** Faults in accepted requests and in responses. */
import { fault, type PlantedFault } from "./fault.ts";

export const answerFaults: PlantedFault[] = [
  fault(
    "token-buys-a-token",
    "only-declared-credentials-are-accepted",
    /accepted without valid credentials|type must be equal/,
    [
      "src/openapi/guard.ts",
      'credentials?.scheme === "bearer" && acceptsBearer(schemes)',
      'credentials?.scheme === "bearer"',
    ],
    ["src/openapi/guard.ts", 'if (!acceptsToken(schemes)) return refuseKind(schemes, "token");', ""],
    [
      "src/openapi/guard.ts",
      "return schemes.includes(scheme) ? principal",
      'return scheme === "bearerAuth" || schemes.includes(scheme) ? principal',
    ],
  ),
  fault("scopes-unchecked", "scopes-are-required", /accepted without its scopes/, [
    "src/openapi/guard.ts",
    "if (missing.length === 0) return principal;",
    "return principal;",
  ]),
  fault("api-key-accepted-everywhere", "api-keys-are-accepted-where-declared", /an API key is accepted/, [
    "src/openapi/guard.ts",
    'return schemes.includes("apiKeyAuth") ? verifiers.apiKey(credential) : refuseKind(schemes, "apiKey");',
    "return verifiers.apiKey(credential);",
  ]),
  fault("challenge-missing", "only-declared-credentials-are-accepted", /WWW-Authenticate|challenges/, [
    "src/openapi/problemWriter.ts",
    "problem.status !== 401 || !operation",
    "problem.status !== 499 || !operation",
  ]),
  fault("challenge-without-basic", "only-declared-credentials-are-accepted", /the challenges are for/, [
    "src/openapi/guard.ts",
    'const offersBasic = schemes.includes("basicAuth");',
    'const offersBasic = schemes.includes("basicAuth") && schemes.length === 1;',
  ]),
  fault("weak-password-by-change", "weak-passwords-are-rejected", /can be changed to/, [
    "src/users/users.ts",
    "await enforcePolicy(accepted, turn);",
    "",
  ]),
  fault(
    "password-changed-without-the-old-one",
    "weak-passwords-are-rejected",
    /changed with a wrong one/,
    ["src/users/users.ts", "if (!confirmed) throw wrong;\n", ""],
    [
      "src/users/users.ts",
      "withCurrentPassword(confirmed, ({ epoch }) =>\n      store.changePassword({ id: userId, epoch, passwordHash, network: networks[0], keepApiKeys }),\n    );",
      "store.changePassword({ id: userId, epoch: caller.epoch, passwordHash, network: networks[0], keepApiKeys });",
    ],
  ),
  fault("fault-at-a-length", "bounds-are-enforced", /a server error/, [
    "src/users/acceptance.ts",
    "requireAccepted(newPassword(password), pointer)",
    "requireAccepted(newPassword(password.length === 73 ? (undefined as unknown as string) : password), pointer)",
  ]),
  fault("status-undeclared", "ended-credentials-are-rejected", /is not declared/, [
    "src/openapi/response.ts",
    "response.writeHead(status, [...headers, ...length]).end()",
    "response.writeHead(status === 204 ? 202 : status, [...headers]).end()",
  ]),
  fault("member-undeclared", "passwords-are-exact", /additional properties/, [
    "src/users/representUser.ts",
    "  username,\n  created_at",
    "  username,\n  token_epoch: 0,\n  created_at",
  ]),
  fault("header-undeclared", "passwords-are-exact", /undeclared header/, [
    "src/openapi/response.ts",
    "joinHeaders(fixedHeaders, ",
    'joinHeaders([...fixedHeaders, "X-Powered-By", "Latchkey"], ',
  ]),
  fault("problem-of-another-type", "passwords-are-exact", /is of type/, [
    "src/openapi/problemWriter.ts",
    "operation?.responses.get(problem.status)?.fixedHeaders ?? undeclaredHeaders",
    'errorHeaders("application/json")',
  ]),
  fault("problem-is-cached", "passwords-are-exact", /Cache-Control/, [
    "src/openapi/problemWriter.ts",
    "operation?.responses.get(problem.status)?.fixedHeaders ?? undeclaredHeaders",
    'undeclaredHeaders.map((one) => (one === "no-store" ? "public, max-age=300" : one))',
  ]),
  fault("password-echoed", "passwords-are-exact", /contains a secret/, [
    "src/users/users.ts",
    'if (!principal) throw new Problem("invalid-credentials");\n    return',
    'if (!principal) throw new Problem("invalid-credentials", { detail: `Not ${password}.` });\n    return',
  ]),
  fault("etag-weak", "head-equals-get", /ETag/, ["src/openapi/encodedBody.ts", '`"${createHash', '`W/"${createHash']),
  fault("etag-ignored", "head-equals-get", /If-None-Match with its ETag/, [
    "src/openapi/encodedBody.ts",
    "ifNoneMatch !== undefined && fresh",
    'ifNoneMatch === "never" && fresh',
  ]),
  fault("head-refused", "head-equals-get", /HEAD/, [
    "src/openapi/dispatch.ts",
    'if (request.method === "HEAD") request.method = "GET";',
    'if (request.method === "HEAD") throw new Problem("invalid-request");',
  ]),
  fault("allow-incomplete", "undeclared-operations-are-rejected", /Allow/, [
    "src/openapi/dispatch.ts",
    'method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()]',
    "[method.toUpperCase()]",
  ]),
  fault("other-sites-change-things", "inputs-are-validated", /another site/, [
    "src/openapi/dispatch.ts",
    'if (operation.method !== "get") requireSameSite(request, proofOf(operation));',
    "",
  ]),
  fault("shown-to-every-origin", "other-origins-cannot-read-responses", /other origins/, [
    "src/openapi/dispatch.ts",
    '...transportHeaders(request), "X-Request-Id"',
    '...transportHeaders(request), "Access-Control-Allow-Origin", "*", "X-Request-Id"',
  ]),
  fault("location-leads-nowhere", "locations-exist", /is not a path of the contract/, [
    "src/users/handlers.ts",
    "/api/users/${user.id}",
    "/api/people/${user.id}",
  ]),
  fault("guesses-unlimited", "outages", /six wrong passwords/, [
    "src/start/domain.ts",
    "config.throttle\n    ? createThrottle(",
    "config.throttle && false\n    ? createThrottle(",
  ]),
  fault("retry-after-missing", "outages", /without Retry-After/, [
    "src/openapi/problemWriter.ts",
    "return status === 503 ?",
    "return status === 599 ?",
  ]),
  fault("error-describes-its-cause", "outages", /describes its cause/, [
    "src/problems/problems.ts",
    "title: problems[this.slug].title,",
    "title: String((this.cause as Error | undefined)?.message ?? problems[this.slug].title).slice(-100),",
  ]),
  fault(
    "always-ready",
    "outages",
    /readyz is 200 while the database is away/,
    ["src/health/handlers.ts", 'if (!(await isMigrated())) throw new Problem("schema-mismatch");', ""],
    ["src/health/handlers.ts", "await requireWritable();", ""],
  ),
];
