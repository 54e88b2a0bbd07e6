/** What HTTP and the contract promise for every operation. */
import { type Api, navigations, type Operation, type Schema } from "../contract/operations.ts";
import { basicHeader, type Probe, type Reply, type Sent, type TestUser } from "./probe.ts";

const where = ({ method, path }: Operation) => `${method} ${path}`;
const isEnding = ({ method }: Operation) => !["GET", "POST"].includes(method);

/** Yields each operation with a request that succeeds. Operations that change or delete something come last. */
async function* succeedingRequests(
  probe: Probe,
): AsyncGenerator<{ operation: Operation; inputs: Sent; user: TestUser }> {
  const { api, register, signIn, inputsFor } = probe;
  for (const operation of [...api.operations].sort((a, b) => Number(isEnding(a)) - Number(isEnding(b)))) {
    if (operation === api.registration || operation === probe.roles.refresh) continue;
    const user = await register();
    const inputs = await inputsFor(operation, user);
    if (!inputs) continue;
    if (operation === probe.roles.changePassword) {
      inputs.body = {
        current_password: user.password,
        new_password: "Seven purple lanterns float above quiet harbours",
      };
    }
    const isTokenNeeded = operation.schemes.length > 0 && !operation.schemes.includes("basic");
    yield { operation, user, inputs: isTokenNeeded ? { ...inputs, bearer: (await signIn(user)).bearer } : inputs };
  }
}

/** HEAD returns what GET returns, without the body (RFC 9110, section 9.3.2). A conditional GET returns 304 if nothing changed. */
export async function headEqualsGet(probe: Probe): Promise<void> {
  const { call, assert } = probe;
  for await (const { operation, inputs } of succeedingRequests(probe)) {
    if (operation.method !== "GET") continue;
    const [get, head] = [await call(operation, inputs), await call(operation, { ...inputs, method: "HEAD" })];
    assert(head.status === get.status, `${where(operation)}: HEAD is ${head.status}, GET is ${get.status}`);
    assert(
      namesOf(head) === namesOf(get),
      `${where(operation)}: HEAD has the headers ${namesOf(head)}, GET ${namesOf(get)}`,
    );
    for (const name of ["content-type", "cache-control", "etag", "vary"]) {
      const [ofHead, ofGet] = [head.headers[name]?.join(), get.headers[name]?.join()];
      assert(ofHead === ofGet, `${where(operation)}: HEAD has ${name} ${ofHead}, GET ${ofGet}`);
    }
    const etag = get.headers["etag"]?.[0];
    // Other ETags are for If-Match.
    if (etag === undefined || !operation.statuses.includes(304)) continue;
    const conditional = await call(operation, { ...inputs, headers: [["If-None-Match", etag]] });
    assert(conditional.status === 304, `${where(operation)}: If-None-Match with its ETag is ${conditional.status}`);
    const other = await call(operation, { ...inputs, headers: [["If-None-Match", '"another"']] });
    assert(other.status === get.status, `${where(operation)}: If-None-Match with another ETag is ${other.status}`);
  }
}

const namesOf = ({ headers }: Reply): string =>
  Object.keys(headers)
    .filter((name) => !["date", "connection", "keep-alive", "transfer-encoding", "content-length"].includes(name))
    .sort()
    .join();

/** Undeclared methods return 405 with `Allow`, undeclared paths 404. */
export async function undeclaredOperationsAreRejected({ api, request, assert }: Probe): Promise<void> {
  for (const path of new Set(api.operations.map((operation) => operation.path))) {
    const target = path.replace(/\{\w+\}/g, "x");
    for (const method of ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"]) {
      if (api.find(method, target)) continue;
      const { status } = await request({ method, target, headers: [], body: undefined });
      assert(status === 405, `${method} ${path} is ${status}, and is not declared`);
    }
    for (const other of [`${target}/`, `${target}/more`, target.toUpperCase(), `/${target}`, `${target}.bak`]) {
      if (other === target || api.find("GET", other)) continue;
      if ([...new Set(api.operations.map((one) => one.path))].some((one) => matches(one, other))) continue;
      const { status } = await request({ method: "GET", target: other, headers: [], body: undefined });
      assert(status === 404, `GET ${other} is ${status}, and is not in the contract`);
    }
  }
  for (const target of ["/", "/.env", "/.git/config", "/metrics", "/admin", "/api", "/debug/pprof"]) {
    if (api.operations.some((one) => one.path === target)) continue;
    const { status } = await request({ method: "GET", target, headers: [], body: undefined });
    assert(status === 404, `GET ${target} is ${status}, and is not in the contract`);
  }
}

const matches = (path: string, target: string) =>
  new RegExp(`^${path.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+")}$`).test(target);

/** The lengths that the members of a body may have. */
const longestTexts = (api: Api, schema: Schema): number[] =>
  Object.values(api.resolve(schema).properties ?? {}).flatMap((member) =>
    [member, ...(member.oneOf ?? []), ...(member.anyOf ?? [])].map((one) => api.resolve(one).maxLength ?? 0),
  );

/** A request that violates the contract is rejected. */
export async function inputsAreValidated(probe: Probe): Promise<void> {
  const { call, assert, api } = probe;
  for await (const { operation, inputs } of succeedingRequests(probe)) {
    const refused = async (sent: Sent, status: number, how: string) => {
      if (!operation.statuses.includes(status)) return;
      const answer = await call(operation, { ...inputs, ...sent });
      assert(answer.status === status, `${where(operation)} ${how} is ${answer.status}, not ${status}`);
    };
    // Pages of any origin may send these with any parameter (RFC 6749, section 3.1).
    const isNavigation = navigations.includes(operation.id);
    if (!isNavigation) await refused({ query: "surprise=1" }, 400, "with an undeclared parameter");
    await refused({ headers: [["Accept", "image/png"]] }, 406, "that accepts another type");
    if (operation.method !== "GET" && !isNavigation) {
      await refused({ headers: [["Sec-Fetch-Site", "cross-site"]] }, 403, "from a page of another site");
      await refused({ headers: [["Origin", "https://evil.example"]] }, 403, "from a page of another origin");
      await refused({ headers: [["Origin", "null"]] }, 403, "from a page without an origin");
    }
    const { body } = operation;
    if (!body) continue;
    const whole = JSON.stringify(inputs.body);
    await refused({ headers: [["Content-Type", "text/plain"]] }, 415, "with a text");
    await refused({ headers: [["Content-Type", `${body.type}; charset=utf-16`]] }, 415, "in UTF-16");
    // As a form, half a JSON text is a parameter with a strange name.
    if (/json$/.test(body.type)) await refused({ bytes: Buffer.from(whole.slice(0, -1)) }, 400, "with half a body");
    await refused(
      { bytes: Buffer.concat([Buffer.from(whole), Buffer.from([0xff])]) },
      400,
      "with bytes that are not UTF-8",
    );
    const bytes = Math.max(16_384, ...longestTexts(api, body.schema)) * 1.2;
    await refused({ bytes: Buffer.from(" ".repeat(bytes) + whole) }, 413, `with a body of ${bytes} bytes`);
  }
}

/** No response may be read by a page of another origin. */
export async function otherOriginsCannotReadResponses(probe: Probe): Promise<void> {
  const { call, assert, request } = probe;
  const origin: [string, string] = ["Origin", "https://evil.example"];
  for await (const { operation, inputs } of succeedingRequests(probe)) {
    if (operation.method !== "GET") continue;
    const { headers } = await call(operation, { ...inputs, headers: [origin] });
    assert(headers["access-control-allow-origin"] === undefined, `${where(operation)} can be read by other origins`);
    const asked: [string, string] = ["Access-Control-Request-Method", "GET"];
    const target = operation.path.replace(/\{\w+\}/g, "x");
    const preflight = await request({ method: "OPTIONS", target, headers: [origin, asked], body: undefined });
    assert(preflight.headers["access-control-allow-origin"] === undefined, `${where(operation)} allows preflights`);
  }
}

/** A `Location` is the path of the new resource, at which it can be read or deleted. */
export async function locationsExist(probe: Probe): Promise<void> {
  const { api, call, request, assert, register } = probe;
  const checkLocation = async (operation: Operation, answer: Reply, user: TestUser) => {
    const [location] = answer.headers["location"] ?? [];
    if (answer.status !== 201 || location === undefined) return;
    const target = location.replace(/^https?:\/\/[^/]*/, "");
    const found = ["GET", "DELETE"].map((method) => ({ method, reached: api.find(method, target) }));
    const { method, reached } = found.find((one) => one.reached) ?? {};
    assert(reached !== undefined, `${where(operation)}: its Location ${location} is not a path of the contract`);
    if (!reached || !method) return;
    const { basic } = probe.credentialsFor(reached, user);
    const credentials = basic ? [["Authorization", basicHeader(...basic)] as [string, string]] : [];
    const followed = await request({ method, target, headers: credentials, body: undefined });
    assert(
      followed.status < 300,
      `${where(operation)}: ${method} of its Location ${location} returns ${followed.status}`,
    );
    if (method === "GET" && "id" in answer.json)
      assert(
        followed.json["id"] === answer.json["id"],
        `${where(operation)}: its Location is that of another resource`,
      );
  };
  if (api.registration) {
    const user = await register();
    const username = `${user.username}y`;
    const answer = await call(api.registration, { body: { username, password: user.password } });
    await checkLocation(api.registration, answer, { ...user, username, basic: [username, user.password] });
  }
  for await (const { operation, inputs, user } of succeedingRequests(probe)) {
    if (operation.method === "POST" && operation.schemes.includes("basic"))
      await checkLocation(operation, await call(operation, inputs), user);
  }
}
