/** Traces: what a collector receives, what it never receives, and that the service runs without it. */
import { readdir, readFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { join } from "node:path";
import pg from "pg";
import { describe, expect, test } from "vitest";
import { basicAuthorization, createClient } from "../support/client.ts";
import { listen } from "../support/ports.ts";
import { type Program, runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

type Span = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  status: { code: number; message?: string };
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[];
};
const kinds = { internal: 1, server: 2, client: 3 };
const failed = 2;

/** A collector for OTLP as JSON, which stores what it receives. */
async function startCollector(answer: (response: ServerResponse) => void = (response) => response.end("{}")) {
  const received: { headers: string; body: Buffer }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ headers: `${request.url} ${request.rawHeaders.join("\n")}`, body: Buffer.concat(chunks) });
      answer(response);
    });
  });
  const port = await listen(server);
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    close,
    resources: () => received.flatMap(({ body }) => JSON.parse(body.toString()).resourceSpans),
    spans: (): Span[] =>
      received.flatMap(({ body }) =>
        JSON.parse(body.toString()).resourceSpans.flatMap(({ scopeSpans }: { scopeSpans: { spans: Span[] }[] }) =>
          scopeSpans.flatMap(({ spans }) => spans),
        ),
      ),
  };
}

async function run(settings: Record<string, string>) {
  const databaseUrl = await createDatabase();
  const fixed = { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, PASSWORD_BLOCKLIST: "off" };
  const program = runProgram([], { ...fixed, ...settings });
  const send = createClient(await program.url);
  return { program, databaseUrl, send };
}

/** Stops the program, which exports pending traces. @returns the milliseconds until it exited */
async function stop({ process, exit }: Program): Promise<number> {
  const began = performance.now();
  process.kill("SIGTERM");
  expect(await exit).toBe(0);
  return performance.now() - began;
}

const tracedTo = (url: string) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" });

const attributesOf = (span: Span | undefined) =>
  Object.fromEntries((span?.attributes ?? []).map(({ key, value }) => [key, value.stringValue ?? value.intValue]));

describe("traces", { timeout: 60_000 }, () => {
  test("a request is a span with its route, operation, status and problem; its queries are child spans", async () => {
    const collector = await startCollector();
    const { program, send } = await run(tracedTo(collector.url));
    const created = await send("POST", "/api/users", { json: { username: "miguel", password } });
    await send("GET", "/api/token", { basic: ["miguel", password] });
    await send("GET", `/api/users/${created.json.id}`, { basic: ["miguel", password] });
    await send("GET", "/api/resource", { basic: ["miguel", "wrong"] });
    await send("POST", "/api/users", { json: { username: "miguel", password } });
    await send("HEAD", "/openapi.yaml");
    await send("GET", "/nowhere");
    await send("GET", "/livez");
    await send("GET", "/readyz");
    await stop(program);

    const spans = collector.spans();
    const requests = spans.filter(({ kind }) => kind === kinds.server);
    expect(requests.map((span) => [span.name, attributesOf(span)])).toEqual([
      ["POST /api/users", described("POST", "/api/users", "createUser", 201)],
      ["GET /api/token", described("GET", "/api/token", "issueToken", 200)],
      ["GET /api/users/{id}", described("GET", "/api/users/{id}", "getUser", 200)],
      ["GET /api/resource", described("GET", "/api/resource", "getResource", 401, "invalid-credentials")],
      ["POST /api/users", described("POST", "/api/users", "createUser", 409, "username-taken")],
      ["HEAD /openapi.yaml", described("HEAD", "/openapi.yaml", "getOpenapiYaml", 200)],
      [
        "GET",
        {
          "http.request.method": "GET",
          "http.response.status_code": 404,
          "latchkey.problem": "not-found",
          "latchkey.request_id": expect.any(String),
        },
      ],
    ]);
    expect(requests.filter(({ status }) => status.code === failed)).toEqual([]); // none is an internal error
    expect(attributesOf(requests[0])["latchkey.request_id"]).toBe(created.header("x-request-id"));

    const childrenOf = ({ spanId, traceId }: Span) =>
      spans.filter((span) => span.parentSpanId === spanId && span.traceId === traceId);
    // The first statement counts the attempt and finds the user, the second one settles the count.
    const checked = ["WITH", "WITH", "verify password"];
    expect(
      requests.map((request) =>
        childrenOf(request)
          .map(({ name }) => name)
          .sort(),
      ),
    ).toEqual([
      ["WITH", "WITH", "hash password"],
      checked,
      ["SELECT", ...checked],
      checked,
      ["WITH", "WITH", "hash password"],
      [],
      [],
    ]);
    // All spans: background work is not traced.
    expect(requests.flatMap(childrenOf).length + requests.length).toBe(spans.length);
    expect(childrenOf(requests[1] as Span).map(attributesOf)).toContainEqual({
      "db.system.name": "postgresql",
      "db.query.text": expect.stringContaining("begin-sign-in"),
    });
    const refused = childrenOf(requests[4] as Span).at(-1);
    expect(refused).toMatchObject({ kind: kinds.client, status: { code: failed } });
    expect(attributesOf(refused)["error.type"]).toBe("23505");

    const logged = program.stdout.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "request completed");
    expect(logged.map(({ trace_id }) => trace_id)).toEqual([
      ...requests.map(({ traceId }) => traceId),
      undefined,
      undefined,
    ]);
    expect(program.stderr).toEqual([]);
  });

  test("an internal error is marked as an error, without its message", async () => {
    const collector = await startCollector();
    const { program, databaseUrl, send } = await run(tracedTo(collector.url));
    await sql(databaseUrl, "ALTER TABLE users RENAME TO users_gone");
    await send("GET", "/api/resource", { basic: ["miguel", password] });
    await stop(program);
    const spans = collector.spans();
    const request = spans.find(({ kind }) => kind === kinds.server);
    expect(request?.status).toEqual({ code: failed });
    expect(attributesOf(request)).toMatchObject({
      "http.response.status_code": 500,
      "latchkey.problem": "internal-error",
      "error.type": "internal-error",
    });
    const statements = spans.filter(({ kind, status }) => kind === kinds.client && status.code === failed);
    expect(statements.map((statement) => attributesOf(statement)["error.type"])).toEqual(["42P01"]);
  });

  test("a client's traceparent is continued; without a valid one, a trace begins", async () => {
    const collector = await startCollector();
    const { program, send } = await run(tracedTo(collector.url));
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const spanId = "b7ad6b7169203331";
    await send("GET", "/docs", {
      headers: { traceparent: `00-${traceId}-${spanId}-01`, tracestate: "a=state", baggage: "b=bag" },
    });
    await send("GET", "/docs", { headers: { traceparent: `00-${traceId}-${spanId}-00` } }); // not sampled
    await send("GET", "/docs", { headers: { traceparent: `00-${"0".repeat(32)}-${spanId}-01` } });
    await send("GET", "/docs");
    await stop(program);
    const [continued, ...begun] = collector.spans();
    expect(continued).toMatchObject({ traceId, parentSpanId: spanId });
    expect(JSON.stringify(continued)).not.toMatch(/a=state|b=bag/);
    expect(begun.map(({ parentSpanId }) => parentSpanId ?? "")).toEqual(["", ""]);
    expect(new Set(begun.map((span) => span.traceId)).size).toBe(2);
    expect(begun.map((span) => span.traceId)).not.toContain(traceId);
  });

  test("the service name is latchkey or OTEL_SERVICE_NAME; only traces are sent", async () => {
    for (const [name, settings] of [
      ["latchkey", {}],
      ["front-door", { OTEL_SERVICE_NAME: "front-door", OTEL_NODE_EXPERIMENTAL_SDK_METRICS: "true" }],
    ] as const) {
      const collector = await startCollector();
      const { program, send } = await run({ ...tracedTo(collector.url), ...settings });
      await send("GET", "/docs");
      await stop(program);
      const [{ resource }] = collector.resources();
      expect(attributesOf(resource)).toMatchObject({ "service.name": name });
      const keys = Object.keys(attributesOf(resource)).filter((key) => !/^(service|telemetry\.sdk)\./.test(key));
      expect(keys).toEqual([]);
      expect(collector.received.map(({ headers }) => headers.split(" ")[0])).toEqual(["/v1/traces"]);
    }
  });

  test.each(["http/json", "http/protobuf"])("secrets that are planted everywhere are in none: %s", async (protocol) => {
    const collector = await startCollector();
    const { program, databaseUrl, send } = await run({
      ...tracedTo(collector.url),
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    });
    const secret = (name: string) => `planted-${name}-secret`;
    const basic: [string, string] = [secret("username"), secret("password")];
    const { id } = (await send("POST", "/api/users", { json: { username: basic[0], password: basic[1] } })).json;
    const { token } = (await send("GET", "/api/token", { basic })).json;
    const headers = {
      "x-secret": secret("header"),
      "user-agent": secret("agent"),
      cookie: secret("cookie"),
      host: secret("host"),
      "x-forwarded-for": secret("forwarded"),
      baggage: `${secret("baggage")}=${secret("baggage")}`,
    };
    const session = (await send("POST", "/api/sessions", { basic, headers })).json;
    const refreshed = (await send("POST", "/api/token", { json: { refresh_token: session.refresh_token } })).json;
    await send("GET", `/api/users/${id}`, { bearer: token, headers });
    await send("GET", `/api/users/${secret("path")}`, { basic });
    await send("GET", `/${secret("nowhere")}?password=${secret("query")}`);
    await send("GET", `/api/token?password=${secret("query")}`, { basic });
    await send("GET", "/api/resource", { bearer: secret("bearer") });
    await send("PUT", "/api/users/me/password", {
      basic,
      json: { current_password: secret("current"), new_password: secret("new") },
    });
    // Postgres reports the whole row of a violated constraint, and the value in its message.
    await sql(databaseUrl, `ALTER TABLE users ADD CONSTRAINT never CHECK (username <> '${secret("row")}')`);
    await sql(
      databaseUrl,
      `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no %', NEW.username; END $$;
       CREATE TRIGGER tell BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.username LIKE '%message%') EXECUTE FUNCTION tell()`,
    );
    for (const name of ["row", "message"]) {
      const answer = await send("POST", "/api/users", { json: { username: secret(name), password } });
      expect(answer.status).toBe(500);
    }
    await stop(program);

    // Protobuf also contains plain texts.
    const all = collector.received.map(({ headers, body }) => `${headers}\n${body.toString("latin1")}`).join("\n");
    expect(all).toContain("/api/users/{id}");
    expect(all).toContain("INSERT INTO users");
    const planted = ["planted-", "-secret", secretKey, password, "$argon2id$", id, basicAuthorization(basic).slice(6)];
    planted.push(databaseUrl, session.refresh_token, refreshed.refresh_token, session.id);
    for (const jwt of [token, session.access_token, refreshed.access_token])
      planted.push(jwt, ...jwt.split(".").slice(1));
    for (const text of planted) {
      for (const form of formsOf(text)) expect(all).not.toContain(form);
    }
  });

  test.each([
    ["is away", undefined],
    ["hangs", () => {}],
    ["fails", (response: ServerResponse) => void response.writeHead(503).end("try later")],
    ["answers nonsense", (response: ServerResponse) => void response.writeHead(200).end("\0".repeat(10_000))],
    ["hangs up", (response: ServerResponse) => void response.destroy()],
  ])("a collector that %s disturbs no request and no stop, and fills no log", async (_name, answer) => {
    const collector = await startCollector(answer);
    if (!answer) collector.close();
    // Exported often, so that much can fail.
    const quickly = { OTEL_BSP_SCHEDULE_DELAY: "20", OTEL_EXPORTER_OTLP_TIMEOUT: "300" };
    const { program, send } = await run({ ...tracedTo(collector.url), ...quickly });
    await send("POST", "/api/users", { json: { username: "miguel", password } });
    for (let count = 0; count < 100; count += 1) {
      expect((await send("GET", "/api/users/me", { basic: ["miguel", password] })).status).toBe(200);
    }
    if (answer) expect(collector.received.length).toBeGreaterThan(0);
    expect(await stop(program)).toBeLessThan(4_000);
    expect(program.stderr).toEqual([]);
    const complaints = program.stdout.filter((line) => line.includes("could not deliver traces"));
    expect(complaints.length).toBeLessThanOrEqual(1);
    expect(program.stdout.filter((line) => !line.includes('"event"')).length).toBeLessThan(110);
  });

  test("a shutdown does not wait for a collector that hangs, also by default", async () => {
    const collector = await startCollector(() => {});
    const { program, send } = await run(tracedTo(collector.url));
    expect((await send("GET", "/docs")).status).toBe(200);
    expect(await stop(program)).toBeLessThan(4_000);
    expect(collector.received.length).toBe(1);
    expect(program.stdout.at(-1)).toContain("stopped");
  });

  test("without the setting nothing of OpenTelemetry is loaded", async () => {
    expect((await modulesOf({})).filter(isTelemetry)).toEqual([]);
    // Proves that it would be detected.
    const collector = await startCollector();
    expect((await modulesOf(tracedTo(collector.url))).filter(isTelemetry).length).toBeGreaterThan(10);
  });
});

const isTelemetry = (url: string) => /\/@opentelemetry\/|\/observability\/tracing\.js$/.test(url);

/** The URLs of all scripts that the program loaded to serve a request, as V8 reports them. */
async function modulesOf(settings: Record<string, string>): Promise<string[]> {
  const folder = await temporaryFolder();
  const { program, send } = await run({ NODE_V8_COVERAGE: folder, ...settings });
  await send("GET", "/api/resource", { basic: ["miguel", password] });
  await stop(program);
  // A file for each thread.
  const files = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file), "utf8")));
  const urls = files.flatMap((file) =>
    (JSON.parse(file) as { result: { url: string }[] }).result.map(({ url }) => url),
  );
  expect(urls.some((url) => url.endsWith("dist/src/start.js"))).toBe(true);
  return urls;
}

const described = (method: string, route: string, operation: string, status: number, problem?: string) => ({
  "http.request.method": method,
  "http.route": route,
  "http.response.status_code": status,
  "latchkey.operation": operation,
  "latchkey.request_id": expect.any(String),
  ...(problem && { "latchkey.problem": problem }),
});

/** A text in plain and encoded forms: in base64 at any position of a longer text. */
const formsOf = (text: string) => [
  text,
  encodeURIComponent(text),
  Buffer.from(text).toString("hex"),
  ...[0, 1, 2].flatMap((offset) => {
    const inner = Buffer.from("x".repeat(offset) + text).toString("base64");
    const whole = inner.slice(Math.ceil((offset * 4) / 3), Math.floor(((offset + text.length) * 8) / 6));
    return [whole, whole.replaceAll("+", "-").replaceAll("/", "_")];
  }),
];

async function sql(databaseUrl: string, text: string): Promise<void> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query(text).finally(() => client.end());
}
