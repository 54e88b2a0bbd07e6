/** A contract guard and forward-auth find the operation of a request, and never a laxer one than the router behind them. */
import { expect, test } from "vitest";
import {
  ContractError,
  type ContractOptions,
  parseContract,
  parseDocument,
} from "../../packages/verify/src/contract/contract.ts";

type Document = Record<string, unknown>;

const bearer = { bearerAuth: { type: "http", scheme: "bearer" } };
const requires = (...scopes: string[]) => ({ security: [{ bearerAuth: scopes }] });

/** A document with an operation for each `GET /path`, which requires a scope of the same name. */
function documentWith(operations: readonly string[], members: Document = {}): Document {
  const paths: Record<string, Document> = {};
  for (const operation of operations) {
    const [method = "", path = ""] = operation.split(" ");
    paths[path] = { ...paths[path], [method.toLowerCase()]: requires(encodeURI(operation.replace(" ", ":"))) };
  }
  return { openapi: "3.1.0", paths, components: { securitySchemes: bearer }, ...members };
}

/** The operation of a request, as `GET /path`; `undefined` if there is none. */
function finderFor(operations: readonly string[], options?: ContractOptions, members?: Document) {
  const contract = parseContract(documentWith(operations, members), options);
  return (target: string, method = "GET") => {
    const found = contract.match(method, target);
    return found && `${found.method} ${found.path}`;
  };
}

const problemsOf = (document: unknown, options?: ContractOptions): readonly string[] => {
  try {
    parseContract(document, options);
  } catch (error) {
    if (error instanceof ContractError) return error.problems;
    throw error;
  }
  return [];
};

test("a path without parameters takes precedence, whatever the order of the document", () => {
  const find = finderFor(["GET /users/{id}", "GET /users/me", "GET /users/{id}/keys", "GET /users/me/{what}"]);
  expect(find("/users/me")).toBe("GET /users/me");
  expect(find("/users/7")).toBe("GET /users/{id}");
  expect(find("/users/7/keys")).toBe("GET /users/{id}/keys");
  expect(find("/users/me/mail?a=/users/7")).toBe("GET /users/me/{what}");
  expect(find("/users")).toBeUndefined();
  expect(find("/users/7/keys/1")).toBeUndefined();
  expect(find("/users/me", "PUT")).toBeUndefined();
});

test("a request that two paths match, of which none has precedence, needs the rights of both", () => {
  const operations = ["GET /orders/{id}/items", "GET /orders/search/{query}", "POST /orders/{id}/items"];
  const contract = parseContract(documentWith(operations));
  const [scopes, ...others] = contract.match("GET", "/orders/search/items")?.alternatives ?? [];
  expect(scopes?.toSorted()).toEqual(["GET:/orders/%7Bid%7D/items", "GET:/orders/search/%7Bquery%7D"]);
  expect(others).toEqual([]);
  expect(contract.match("POST", "/orders/search/items")?.alternatives).toEqual([["POST:/orders/%7Bid%7D/items"]]);
  expect(contract.allow("/orders/search/items").toSorted()).toEqual(["GET", "HEAD", "POST"]);
  expect(contract.match("GET", "/orders/search/open")?.path).toBe("/orders/search/{query}");

  const open = documentWith(["GET /a/{x}", "GET /{x}/b"]);
  Object.assign(open, { paths: { "/a/{x}": { get: { security: [] } }, "/{x}/b": { get: requires("b") } } });
  expect(parseContract(open).match("GET", "/a/b")).toMatchObject({ alternatives: [["b"]], allowsAnonymous: false });
});

test("a part of a segment can be a parameter", () => {
  const find = finderFor([
    "GET /files/{name}.json",
    "GET /files/{name}",
    "GET /jobs/{id}:cancel",
    "GET /{from}-{to}/x",
  ]);
  expect(find("/files/a.b.json")).toBe("GET /files/{name}.json");
  expect(find("/files/.json")).toBe("GET /files/{name}");
  expect(find("/files/a.xml")).toBe("GET /files/{name}");
  expect(find("/jobs/7:cancel")).toBe("GET /jobs/{id}:cancel");
  expect(find("/jobs/7")).toBeUndefined();
  expect(find("/a-b-c/x")).toBe("GET /{from}-{to}/x");
  expect(find("/-b/x")).toBeUndefined();
  expect(find("/a-/x")).toBeUndefined();
});

test("HEAD is GET if the path does not declare it, and methods are compared exactly", () => {
  const contract = parseContract(documentWith(["GET /a", "GET /b", "HEAD /b", "POST /c"]));
  expect(contract.match("HEAD", "/a")?.method).toBe("GET");
  expect(contract.match("HEAD", "/b")?.method).toBe("HEAD");
  expect(contract.match("HEAD", "/c")).toBeUndefined();
  for (const method of ["get", "OPTIONS", "TRACE", "CONNECT", "__proto__", ""]) {
    expect(contract.match(method, "/a"), method).toBeUndefined();
  }
  expect(contract.allow("/a")).toEqual(["GET", "HEAD"]);
  expect(contract.allow("/nothing")).toEqual([]);
});

/** What routers and proxies read as another path of this contract, or in different ways. */
const mistakable = [
  ...[
    "/ADMIN",
    "/Admin",
    "/admin/",
    "//admin",
    "/%61dmin",
    "/%2561dmin",
    "/%252561dmin",
    "/admin;x",
    "/admin;",
    "/admin%3bx",
  ],
  ...[
    "/./admin",
    "/x/../admin",
    "/x/%2e%2e/admin",
    "/x/.%2E/admin",
    "/..;/admin",
    "/admin/.",
    "/x/..%2fadmin",
    "/x%2f..%2fadmin",
  ],
  ...[
    "/x/..%5cadmin",
    "/x\\..\\admin",
    "/\\admin",
    "/admin#",
    "/admin%00",
    "/admin%0d%0a",
    "/admin%",
    "/admin%zz",
    "/admin%ff",
  ],
  ...[
    "/files/a%2fsecret",
    "/files/a%252Fsecret",
    "/files/a%5Csecret",
    "/files/a//secret",
    "/files/a/secret/",
    "/files/a/SECRET",
  ],
  ...["/x;/admin", "/files/a;b/secret", "/ädmin", "/admin ", "admin", "", "*", "/../admin", "/…/admin"],
  "/%E2%84%AA", // a Kelvin sign, which is a k in lower case
];

test.each(mistakable)("the path %j matches nothing", (target) => {
  const find = finderFor([
    "GET /{page}",
    "GET /admin",
    "GET /k",
    "GET /{folder}/{page}",
    "GET /files/{name}/secret",
    "GET /files/{name}",
  ]);
  expect(find(target)).toBeUndefined();
});

test("each way of decoding a path counts: before or after the slashes, all at once or not", () => {
  const others = [
    "GET /{a}",
    "GET /{a}/{b}",
    "GET /{a}/{b}/{c}",
    "GET /files/{name}",
    "GET /files/{name}.json",
    "GET /{a}/x/{c}",
  ];
  const find = finderFor(others);
  const hostile = [
    "/file%73/a%2Fb",
    "/file%2573%2Fa%252Fb",
    "/%66iles/x%3By.json",
    "/a%252Fx/c",
    "/a%2Fx%2Fc",
    "/50%25%2Fx%2Fc",
  ];
  for (const target of hostile) expect(find(target), target).toBeUndefined();
  expect(find("/a/b%2Fx/c")).toBe("GET /{a}/{b}/{c}");
  expect(find("/caf%C3%A9")).toBe("GET /{a}");
  const encoded = finderFor(["GET /café/{id}", "GET /{a}/{b}"]);
  expect(encoded("/caf%C3%A9/7%20")).toBe("GET /café/{id}");
  expect(encoded("/CAF%C3%89/7")).toBeUndefined();
});

test("other values of parameters match, whatever they contain", () => {
  const find = finderFor([
    "GET /apis/{audience}",
    "GET /apis/{audience}/keys",
    "GET /V2/{name}",
    "GET /mail/{address}",
  ]);
  expect(find("/apis/https%3A%2F%2Forders.example%2Fv1")).toBe("GET /apis/{audience}");
  expect(find("/apis/https%3A%2F%2Forders.example%2Fv1/keys")).toBe("GET /apis/{audience}/keys");
  expect(find("/apis/50%25")).toBe("GET /apis/{audience}");
  expect(find("/apis/a%20b%3Bc")).toBe("GET /apis/{audience}");
  expect(find("/apis/Stra%C3%9Fe")).toBe("GET /apis/{audience}");
  expect(find("/apis/...")).toBe("GET /apis/{audience}");
  expect(find("/mail/a+b@example.com")).toBe("GET /mail/{address}");
  expect(find("/V2/x")).toBe("GET /V2/{name}");
  expect(find("/v2/x")).toBeUndefined();
  expect(find("/apis/")).toBeUndefined();
  expect(find(`/apis/${"a".repeat(8192)}`)).toBeUndefined();
});

test("a path that no reading makes one of the contract does not resemble it", () => {
  const contract = parseContract(documentWith(["GET /admin", "GET /orders/{id}"]));
  expect(mistakable.filter((target) => /admin/i.test(target) && !contract.resemblesPath(target))).toEqual([]);
  for (const target of ["/", "/pages/About", "/logo.svg?v=2", "/caf%C3%A9"]) {
    expect(contract.resemblesPath(target), target).toBe(false);
  }
});

test("paths begin with the path of a server, of the operation, the path or the document", () => {
  const servers = [
    { url: "https://api.example/v1/" },
    { url: "v2" },
    {
      url: "{scheme}://{host}/{base}",
      variables: {
        scheme: { enum: ["http", "https"] },
        host: { default: "x" },
        base: { enum: ["eu", "us"], default: "eu" },
      },
    },
  ];
  const find = finderFor(["GET /a"], {}, { servers });
  expect(["/v1/a", "/v2/a", "/eu/a", "/us/a"].map((target) => find(target))).toEqual(Array(4).fill("GET /a"));
  expect(["/a", "/v1", "/v1a", "/x/a"].map((target) => find(target))).toEqual(Array(4).fill(undefined));
  const stripped = finderFor(["GET /a"], { basePath: "" }, { servers });
  expect([stripped("/a"), stripped("/v1/a")]).toEqual(["GET /a", undefined]);
  expect(finderFor(["GET /a"], { basePath: "/x" })("/x/a")).toBe("GET /a");

  const document = documentWith([], {
    servers,
    paths: {
      "/a": { servers: [{ url: "/own" }], get: requires("a"), put: { ...requires("a"), servers: [{ url: "/put" }] } },
    },
  });
  const contract = parseContract(document);
  expect(contract.match("GET", "/own/a")).toBeDefined();
  expect(contract.match("PUT", "/put/a")).toBeDefined();
  expect([contract.match("PUT", "/own/a"), contract.match("GET", "/v1/a")]).toEqual([undefined, undefined]);
});

test("security is inherited, and alternatives, combinations and optional credentials are read", () => {
  const document = documentWith([], {
    security: [{ bearerAuth: ["all"] }],
    paths: {
      "/inherited": { get: {} },
      "/open": { get: { security: [] } },
      "/optional": { get: { security: [{}, { bearerAuth: ["a"] }] } },
      "/either": { get: { security: [{ bearerAuth: ["a", "a"] }, { basicAuth: ["b"] }] } },
      "/both": { get: { security: [{ bearerAuth: ["a"], oidc: ["b", "a"] }] } },
      "/cookie": { get: { security: [{ cookie: [] }, { bearerAuth: ["a"], cookie: [] }, { key: ["k"] }] } },
    },
    components: {
      securitySchemes: {
        bearerAuth: { $ref: "#/components/securitySchemes/same" },
        same: { type: "http", scheme: "Bearer" },
        basicAuth: { type: "http", scheme: "basic" },
        oidc: { type: "openIdConnect", openIdConnectUrl: "https://x" },
        cookie: { type: "apiKey", in: "cookie", name: "session" },
        key: { type: "apiKey", in: "header", name: "authorization" },
      },
    },
  });
  const contract = parseContract(document);
  const of = (path: string) => contract.match("GET", path);
  expect(of("/inherited")).toMatchObject({
    alternatives: [["all"]],
    allowsAnonymous: false,
    bearerAlternatives: [["all"]],
  });
  expect(of("/open")).toMatchObject({ alternatives: [], allowsAnonymous: true, bearerAlternatives: [] });
  expect(of("/optional")).toMatchObject({ alternatives: [["a"]], allowsAnonymous: true });
  expect(of("/either")).toMatchObject({ bearerAlternatives: [["a"]], basicAlternatives: [["b"]] });
  expect(of("/both")).toMatchObject({ alternatives: [["a", "b"]], basicAlternatives: [] });
  expect(of("/cookie")).toMatchObject({ alternatives: [["k"]] });
  expect(contract.scopes).toEqual(["a", "all", "b", "k"]);
});

test("path items and schemes can be references within the document", () => {
  const document = documentWith([], {
    paths: {
      "/a": { $ref: "#/components/pathItems/a~1b" },
      "/b": { $ref: "#/components/pathItems/chain", put: requires("put") },
    },
    components: {
      securitySchemes: bearer,
      pathItems: { "a/b": { get: requires("a") }, chain: { $ref: "#/components/pathItems/a~1b" } },
    },
  });
  const contract = parseContract(document);
  expect(contract.match("GET", "/a")?.alternatives).toEqual([["a"]]);
  expect(contract.match("PUT", "/b")?.alternatives).toEqual([["put"]]);
});

/** Documents that cannot be enforced, and why. */
const rejected: Record<string, [unknown, RegExp]> = {
  "no object": [[], /not an object/],
  "Swagger 2.0": [{ swagger: "2.0", paths: {} }, /version "2.0".+3.0 and 3.1/],
  "OpenAPI 3.2": [{ openapi: "3.2.0", paths: {} }, /version "3.2.0"/],
  "no version": [{ paths: {} }, /no member openapi/],
  "no paths": [{ openapi: "3.1.0" }, /no paths/],
  "no operations": [{ openapi: "3.1.0", paths: {} }, /no operations/],
  "no security": [documentWith([], { paths: { "/a": { get: {} } } }), /^GET \/a has no security/],
  "empty security in YAML": [
    documentWith([], { paths: { "/a": { get: { security: null } } } }),
    /security is not a list/,
  ],
  "an unknown scheme": [
    documentWith([], { paths: { "/a": { get: { security: [{ bearer: [] }] } } } }),
    /names bearer, which/,
  ],
  "a scheme named like a method of objects": [
    documentWith([], { paths: { "/a": { get: { security: [{ constructor: [] }] } } } }),
    /names constructor, which/,
  ],
  "a scheme of an unknown type": [
    documentWith(["GET /a"], { components: { securitySchemes: { bearerAuth: { type: "magic" } } } }),
    /unknown type magic/,
  ],
  "scopes that are no list": [
    documentWith([], { paths: { "/a": { get: { security: [{ bearerAuth: "a" }] } } } }),
    /not a list of scopes/,
  ],
  "a scope with a space": [documentWith([], { paths: { "/a": { get: requires("a b") } } }), /not a list of scopes/],
  "a cookie only": [
    documentWith(["GET /a"], {
      components: { securitySchemes: { bearerAuth: { type: "apiKey", in: "cookie", name: "sid" } } },
    }),
    /^GET \/a: Latchkey checks credentials in the Authorization header only, but bearerAuth is an API key in the cookie sid/,
  ],
  "mutual TLS in combination": [
    documentWith([], {
      paths: { "/a": { get: { security: [{ bearerAuth: [], tls: [] }] } } },
      components: { securitySchemes: { ...bearer, tls: { type: "mutualTLS" } } },
    }),
    /tls is mutual TLS/,
  ],
  "a password and a token in combination": [
    documentWith([], {
      paths: { "/a": { get: { security: [{ login: [], bearerAuth: [] }] } } },
      components: { securitySchemes: { ...bearer, login: { type: "http", scheme: "basic" } } },
    }),
    /^GET \/a: .*login and bearerAuth together need two of them/,
  ],
  "scopes of a bearer scheme in 3.0": [
    documentWith(["GET /a"], { openapi: "3.0.3" }),
    /OpenAPI 3.0 allows scopes for oauth2/,
  ],
  "a reference to another file": [documentWith([], { paths: { "/a": { $ref: "paths.yaml#/a" } } }), /Bundle the files/],
  "a reference to nothing": [
    documentWith([], { paths: { "/a": { $ref: "#/components/pathItems/a" } } }),
    /does not exist/,
  ],
  "a reference to itself": [documentWith([], { paths: { "/a": { $ref: "#/paths/~1a" } } }), /does not end/],
  "an operation beside its reference": [
    documentWith([], { paths: { "/a": { $ref: "#/paths/~1b", get: { security: [] } }, "/b": { get: requires("b") } } }),
    /\/a has get twice/,
  ],
  "a misspelled method": [documentWith([], { paths: { "/a": { gett: requires("a") } } }), /unknown member gett/],
  "an empty path item in YAML": [documentWith([], { paths: { "/a": null } }), /\/a is not an object/],
  "no slash": [documentWith(["GET a"]), /does not begin with a slash/],
  "a query in a path": [documentWith(["GET /a?b"]), /characters/],
  "an empty segment": [documentWith(["GET /a//b"]), /empty segment/],
  "a segment of dots": [documentWith(["GET /a/../b"]), /segment of dots/],
  "a lost brace": [documentWith(["GET /a/{id"]), /brace/],
  "a parameter twice": [documentWith(["GET /{id}/{id}"]), /parameter twice/],
  "parameters side by side": [documentWith(["GET /{a}{b}"]), /without a text between them/],
  "other names of parameters": [
    documentWith(["GET /a/{id}", "GET /a/{name}"]),
    /\/a\/{id} and \/a\/{name} are ambiguous/,
  ],
  "paths that differ in case": [documentWith(["GET /a", "PUT /A"]), /ambiguous/],
  "paths that differ in a slash": [documentWith(["GET /a", "PUT /a/"]), /ambiguous/],
  "paths that differ in encoding": [documentWith(["GET /a", "PUT /%61"]), /ambiguous/],
  "servers that lead to the same path": [
    documentWith(["GET /a", "GET /v1/a"], { servers: [{ url: "/" }, { url: "/v1" }] }),
    /ambiguous/,
  ],
  "a server without url": [documentWith(["GET /a"], { servers: [{}] }), /servers\[0\] has no url/],
  "a server with an unknown variable": [documentWith(["GET /a"], { servers: [{ url: "/{v}" }] }), /has \{v\}/],
  "a server with a query": [documentWith(["GET /a"], { servers: [{ url: "/v1?x" }] }), /query/],
};

test.each(Object.entries(rejected))("a document with %s is rejected", (_, [document, reason]) => {
  const problems = problemsOf(document);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(reason);
});

test("all problems of a document are reported together", () => {
  const document = documentWith(["GET a"], { paths: { a: { get: requires("a") }, "/b": { get: {}, put: {} } } });
  expect(problemsOf(document)).toHaveLength(3);
  expect(problemsOf(documentWith(["GET /a"]), { basePath: "v1/" })).toEqual([expect.stringContaining("base path")]);
});

test("documents in YAML and JSON are read, with bounds", async () => {
  const yaml = "openapi: 3.1.0\npaths:\n  /a: &a\n    get: { security: [] }\n  /b:\n    <<: *a\n";
  expect(parseContract(await parseDocument(yaml)).operations.map(({ path }) => path)).toEqual(["/a", "/b"]);
  expect(await parseDocument('\n{\n\t"a": 1 }')).toEqual({ a: 1 });
  expect(await parseDocument("{ a: 1 }")).toEqual({ a: 1 });
  const bomb = `a: &a [x]\n${Array.from({ length: 30 }, (_, n) => `b${n}: &b${n} [${`*${n ? `b${n - 1}` : "a"},`.repeat(9)}]`).join("\n")}`;
  for (const text of ["a: 1\na: 2", "[".repeat(100_000), "a: [", "a:\n\t- b", bomb, "x".repeat(6_000_000)]) {
    await expect(parseDocument(text), text.slice(0, 20)).rejects.toThrow(ContractError);
  }
});

test("hostile paths take time that is linear in their length", () => {
  const others = Array.from({ length: 200 }, (_, n) => `GET /r${n}/{id}/{other}`);
  const find = finderFor(["GET /{anything}", "GET /{a}-{b}-{c}-{d}-{e}/x", ...others]);
  const parts = ["-", ";", "%25", "%2525", "a/", ".", "%2f", "\\"];
  const repeated = parts.map((part) => `/${part.repeat(8000 / part.length)}`);
  for (const target of [...repeated, `/%25252541${"%2f".repeat(2600)}`]) {
    const before = process.cpuUsage();
    for (let count = 0; count < 20; count += 1) find(target);
    expect(process.cpuUsage(before).user / 20, target.slice(0, 15)).toBeLessThan(3_000);
  }
});

test("documents that take too much time or memory are rejected", () => {
  const many = Array.from({ length: 9_000 }, (_, n) => [`/p${n}`, { $ref: "#/x-shared" }]);
  const security = Array.from({ length: 50 }, (_, n) => ({
    bearerAuth: Array.from({ length: 100 }, (_, scope) => `s${n}.${scope}`),
  }));
  const documentOf = (...methods: string[]) => ({
    ...documentWith([]),
    paths: Object.fromEntries(many),
    "x-shared": Object.fromEntries(methods.map((method) => [method, { security }])),
  });
  const before = process.memoryUsage().heapUsed;
  // If each operation had scopes of its own, there would be 45 million.
  const contract = parseContract(documentOf("get"));
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(150_000_000);
  expect(contract.scopes).toHaveLength(5_000);
  expect(problemsOf(documentOf("get", "put"))[0]).toContain("more than 10000 operations");
  const servers = Array.from({ length: 50 }, (_, n) => ({ url: `/${"a".repeat(1_900)}${n}` }));
  const operations = Array.from({ length: 20 }, (_, n) => `GET /${n}`);
  expect(problemsOf(documentWith(operations, { servers }))[0]).toContain("more than 1000000 characters");
});

test("a path that matches more operations than can be compared or combined has none", () => {
  const masks = Array.from({ length: 1 << 10 }, (_, mask) =>
    Array.from({ length: 10 }, (_, index) => (mask & (1 << index) ? "a" : `{p${index}}`)),
  ).filter((parts) => parts.filter((part) => part === "a").length === 5);
  const path = `/${"a/".repeat(9)}a`;
  for (const count of [50, 51]) {
    const document = documentWith(masks.slice(0, count).map((parts) => `GET /${parts.join("/")}`));
    expect(parseContract(document).match("GET", path)?.alternatives.length).toBe(count === 50 ? 1 : undefined);
  }
  const security = (place: string) => Array.from({ length: 40 }, (_, n) => ({ bearerAuth: [`${place}${n}`] }));
  const paths = { "/a/{b}": { get: { security: security("a") } }, "/{a}/b": { get: { security: security("b") } } };
  expect(parseContract(documentWith([], { paths })).match("GET", "/a/b")).toBeUndefined();
  expect(parseContract(documentWith([], { paths })).match("GET", "/a/c")?.alternatives).toHaveLength(40);
});
