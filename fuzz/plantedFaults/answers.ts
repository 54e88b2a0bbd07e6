// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are pieces of source
/** Faults in what is accepted, and in the responses. */
import { fault, type PlantedFault } from "./fault.ts";

export const answerFaults: PlantedFault[] = [
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
    ["users/users.ts", "if (!confirmed) throw wrong;\n    const network", "const network"],
    [
      "users/users.ts",
      "whilePasswordHolds(confirmed, ({ epoch }) =>\n      store.changePassword(userId, epoch, passwordHash, network),\n    );",
      "store.changePassword(userId, caller.epoch, passwordHash, network);",
    ],
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
  fault("etag-weak", "head-is-get", /ETag/, ["openapi/encodedBody.ts", '`"${createHash', '`W/"${createHash']),
  fault("etag-ignored", "head-is-get", /If-None-Match with its ETag/, [
    "openapi/encodedBody.ts",
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
    "title: String((this.cause as Error | undefined)?.message ?? problems[this.slug].title).slice(-100),",
  ]),
  fault(
    "always-ready",
    "outages",
    /readyz is 200 while the database is away/,
    ["operations/handlers.ts", 'if (!(await isMigrated())) throw new Problem("schema-mismatch");', ""],
    ["operations/handlers.ts", "await requireWritable();", ""],
  ),
];
