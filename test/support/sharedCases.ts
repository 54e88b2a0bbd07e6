/** The answers that many operations share, each a test of its own. */
import { expect, test } from "vitest";
import { declaresNotModified } from "./answers.ts";
import { basicAuthorization, type Received, type Sent, sendRaw } from "./client.ts";
import { password, startTestService, type TestService, toNextWindowSeconds } from "./service.ts";

type Request = { method: string; target: string /** What makes it succeed. */; good: () => Promise<Sent> };

/** 400: every operation refuses what it does not declare, and what can be read in two ways. */
export function refusesUnsoundRequests(service: TestService, { method, target, good }: Request): void {
  test("400 for an undeclared query parameter", async () => {
    const answer = await service.send(method, `${target}?surprise=1`, await good());
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.json.errors).toMatchObject([{ parameter: "surprise" }]);
  });

  test.each([
    ["in brackets", "[x]=1", "[x]"],
    ["behind a thousand empty ones", `${"&".repeat(1000)}surprise=1`, "surprise"],
  ])("400 for an undeclared query parameter %s", async (_name, query, parameter) => {
    const answer = await service.send(method, `${target}?${query}`, await good());
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request", json: { errors: [{ parameter }] } });
  });

  test("400 for two Authorization headers", async () => {
    const sent = await good();
    const headers = { ...sent.headers, authorization: ["Basic YTpi", "Basic YTpi"] as never };
    const answer = await service.send(method, target, { ...withoutCredentials(sent), headers });
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });
}

/** 403 of an operation that changes something: a page of another origin asked for it. */
export function refusesOtherSites(service: TestService, { method, target, good }: Request): void {
  test("403 for a page of another origin, before anything is looked at", async () => {
    const sent = await good();
    const hashed = service.hashingWork();
    const headers = { ...sent.headers, origin: "https://evil.example.com", "sec-fetch-site": "cross-site" };
    for (const request of [sent, withoutCredentials(sent), { ...sent, basic: ["miguel", "wrong"] } as Sent]) {
      const answer = await service.send(method, target, { ...request, headers });
      expect(answer).toMatchObject({ status: 403, problem: "cross-site-request" });
      expect(answer.header("www-authenticate")).toBeUndefined();
    }
    expect(service.hashingWork()).toBe(hashed);
  });
}

/** 406: the client cannot read the only form there is. */
export function refusesUnreadableForms(service: TestService, request: Request): void {
  const { method, target, good } = request;
  test.each([
    "*/*",
    "text/plain;q=0.1, */*;q=0.1",
    "application/json;charset=utf-8, text/html;charset=utf-8, application/yaml",
  ])("Accept: %s is content", async (accept) => {
    const sent = await good();
    expect((await service.send(method, target, { ...sent, headers: { accept } })).status).toBeLessThan(300);
  });

  if (declaresNotModified(method, target)) answersConditionally(service, request);
  else {
    test("an answer is given whole, whatever a cache has", async () => {
      const sent = await good();
      const headers = { ...sent.headers, "if-none-match": "*", "if-modified-since": new Date().toUTCString() };
      const answer = await service.send(method, target, { ...sent, headers });
      expect(answer.status).toBeLessThan(300);
    });
  }

  test("406 where Accept rules out the answer", async () => {
    const sent = await good();
    const answer = await service.send(method, target, { ...sent, headers: { ...sent.headers, accept: "image/png" } });
    expect(answer).toMatchObject({ status: 406, problem: "not-acceptable" });
  });
}

/** 304, and the content codings of a body that is the same for everybody. */
function answersConditionally(service: TestService, { target }: Request): void {
  const get = (headers: Record<string, string>, method = "GET") => service.send(method, target, { headers });

  test.each<[string | undefined, string | undefined]>([
    [undefined, undefined],
    ["", undefined],
    ["br", "br"],
    ["gzip", "gzip"],
    ["GZIP", "gzip"],
    ["gzip, deflate, br, zstd", "br"],
    ["gzip;q=1, br;q=0.5", "gzip"],
    ["br;q=0, gzip;q=0.001", "gzip"],
    ["*", "br"],
    ["*;q=0.5, identity", undefined],
    ["identity", undefined],
    ["identity;q=0, *", "br"],
    ["br;q=0, *;q=0.1", "gzip"],
    ["deflate, zstd", undefined],
    ["gzip;q=0, br;q=0", undefined],
    ["nonsense;;q=x,,", undefined],
  ])("200 where Accept-Encoding is %s: %s", async (accepted, coding) => {
    const headers: Record<string, string> = accepted === undefined ? {} : { "accept-encoding": accepted };
    const answer = await get(headers);
    expect(answer.status).toBe(200);
    expect(answer.header("content-encoding")).toBe(coding);
    expect(answer.header("vary")).toBe("Accept-Encoding");
    expect(answer.text).toBe((await get({})).text);
    const head = await get(headers, "HEAD");
    for (const name of ["content-length", "content-encoding", "etag", "vary", "cache-control"]) {
      expect(head.header(name), name).toBe(answer.header(name));
    }
  });

  test.each(["identity;q=0", "*;q=0", "br;q=0, gzip;q=0, identity;q=0", "deflate, *;q=0"])(
    "406 where Accept-Encoding is %s",
    async (accepted) => {
      const answer = await get({ "accept-encoding": accepted });
      expect(answer).toMatchObject({ status: 406, problem: "not-acceptable" });
      expect(answer.json.detail).toContain("gzip");
    },
  );

  test("304 where If-None-Match names the ETag of the coding, which each has for itself", async () => {
    const etags = new Set<string>();
    for (const accepted of ["br", "gzip", "identity"]) {
      const accept = { "accept-encoding": accepted };
      const whole = await get(accept);
      const etag = whole.header("etag") ?? "";
      etags.add(etag);
      for (const named of [etag, `W/${etag}`, `"other", ${etag}`, `"other",\t${etag} , W/"x"`, "*"]) {
        for (const method of ["GET", "HEAD"]) {
          const answer = await get({ ...accept, "if-none-match": named, "cache-control": "no-cache" }, method);
          expect(answer).toMatchObject({ status: 304, text: "" });
          for (const name of ["etag", "vary", "cache-control", "content-security-policy"]) {
            expect(answer.header(name), name).toBe(whole.header(name));
          }
          for (const name of ["content-type", "content-encoding"]) expect(answer.header(name), name).toBeUndefined();
        }
      }
      for (const named of ['"other"', etag.slice(1), etag.replaceAll('"', ""), `x${etag}`, ""]) {
        expect((await get({ ...accept, "if-none-match": named })).status, named).toBe(200);
      }
    }
    expect(etags.size).toBe(3);
    const [br = ""] = etags;
    expect((await get({ "accept-encoding": "gzip", "if-none-match": br })).status).toBe(200);
  });

  test("404 where DOCUMENTATION is off, also for who has it", async () => {
    const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
    for (const headers of [{}, { "if-none-match": "*" }]) {
      const answer = await without.send("GET", target, { headers });
      expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      expect(answer.json.detail).toBeUndefined();
    }
    await without.close();
  });
}

/** 408, 413 and 415: bodies that are not read, or not to their end. */
export function refusesOtherBodies(service: TestService, { method, target, good }: Request): void {
  const withoutBody = async (): Promise<Sent> => {
    const { json: _, ...rest } = await good();
    return rest;
  };

  test("413 for a body of 10 MB", async () => {
    const answer = await service.send(method, target, {
      ...(await withoutBody()),
      body: `"${"x".repeat(10_000_000)}"`,
      headers: { "content-type": "application/json" },
    });
    expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
  });

  test("413 at once for a body that says or shows that it is too large, without its rest", async () => {
    const head = `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
    const { basic } = await good();
    const authorization = basic ? `Authorization: ${basicAuthorization(basic)}\r\n` : "";
    const chunk = `${(20_000).toString(16)}\r\n${"x".repeat(20_000)}\r\n`;
    for (const rest of ["Content-Length: 300000000\r\n\r\n{", `Transfer-Encoding: chunked\r\n\r\n${chunk}`]) {
      const answer = await sendRaw(service.url, head + authorization + rest, method, target);
      expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
    }
  });

  test("408 for a body that does not arrive, as the last answer of its connection", async () => {
    const { basic } = await good();
    const authorization = basic ? `Authorization: ${basicAuthorization(basic)}\r\n` : "";
    const head = `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${authorization}`;
    const rests = ["Content-Length: 20\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"];
    for (const answer of await Promise.all(rests.map((rest) => sendRaw(service.url, head + rest, method, target)))) {
      expect(answer).toMatchObject({ status: 408, problem: "request-timeout" });
      expect(answer.header("connection")).toBe("close");
      expect(answer.header("content-security-policy")).toBeDefined();
    }
  });

  test("400 for a body with a chunk that is none, in the place of its answer", async () => {
    const { basic } = await good();
    const authorization = basic ? `Authorization: ${basicAuthorization(basic)}\r\n` : "";
    const head = `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${authorization}`;
    const answer = await sendRaw(service.url, `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, method, target);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.header("connection")).toBe("close");
  });

  test.each([
    ["another type", { "content-type": "text/plain" }],
    ["no type", {}],
    ["another encoding of characters", { "content-type": "application/json; charset=utf-16" }],
    ["a hidden charset", { "content-type": 'application/json; x="; charset=utf-8"; charset=utf-16le' }],
    ["a compressed body", { "content-type": "application/json", "content-encoding": "gzip" }],
  ])("415 for %s", async (_name, headers) => {
    const body = JSON.stringify((await good()).json);
    const answer = await service.send(method, target, { ...(await withoutBody()), body, headers });
    expect(answer).toMatchObject({ status: 415, problem: "unsupported-media-type" });
  });
}

/** 401 of an operation that takes a token: each reason has its problem and its challenge. */
export function refusesStrangers(service: TestService, { method, target, good }: Request): void {
  const without = async () => withoutCredentials(await good());

  test("401 without credentials, with both challenges", async () => {
    const answer = await service.send(method, target, await without());
    expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
    expect(answer.headers["www-authenticate"]).toEqual([
      'Basic realm="latchkey", charset="UTF-8"',
      'Bearer realm="latchkey"',
    ]);
  });

  test("401 for what a page requests, without the Basic challenge", async () => {
    const headers = { "sec-fetch-dest": "empty" };
    const answer = await service.send(method, target, { ...(await without()), headers });
    expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
    expect(answer.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
  });

  test("401 for a token that is not one, as Bearer and as Basic username", async () => {
    const forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
    for (const credentials of [{ bearer: forged }, { basic: [forged, "unused"] as [string, string] }]) {
      const answer = await service.send(method, target, { ...(await without()), ...credentials });
      expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
      expect(answer.header("www-authenticate")).toContain('Bearer realm="latchkey", error="invalid_token"');
    }
  });

  test("401 for a wrong password", async () => {
    const answer = await service.send(method, target, { ...(await without()), basic: ["nobody", "wrong password"] });
    expect(answer).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });
}

/** 401 of an operation that asks for the password itself. */
export function asksForThePassword(service: TestService, { method, target }: Request): void {
  test("401 without credentials, with the Basic challenge alone", async () => {
    const answer = await service.send(method, target);
    expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
    expect(answer.headers["www-authenticate"]).toEqual(['Basic realm="latchkey", charset="UTF-8"']);
  });

  test("401 for what a page requests, with a challenge that no browser knows", async () => {
    for (const credentials of [{}, { basic: ["nobody", "wrong password"] as [string, string] }]) {
      const answer = await service.send(method, target, { ...credentials, headers: { "sec-fetch-dest": "empty" } });
      expect(answer.status).toBe(401);
      expect(answer.headers["www-authenticate"]).toEqual(['Password realm="latchkey"']);
    }
  });

  test("401 for a token, as Bearer and as Basic username", async () => {
    const { username } = await service.register();
    const token = await service.token(username);
    const asBearer = await service.send(method, target, { bearer: token });
    expect(asBearer).toMatchObject({ status: 401, problem: "authentication-required" });
    const asUsername = await service.send(method, target, { basic: [token, "unused"] });
    expect(asUsername).toMatchObject({ status: 401, problem: "invalid-credentials" });
    expect((await service.send("GET", "/api/users/me", { bearer: token })).status).toBe(200);
  });

  test("401 for a wrong password", async () => {
    const { username } = await service.register();
    const answer = await service.send(method, target, { basic: [username, "wrong password"] });
    expect(answer).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });
}

/** 429: passwords are guessed. */
export function refusesGuessing(service: TestService, { method, target, good }: Request): void {
  test("429 after too many wrong passwords, and for the right one then", async () => {
    const { basic: [username, password] = ["", ""], ...rest } = await withPassword(service, await good());
    const strict = await startTestService({ THROTTLE_ACCOUNT_ADDRESS: "1" }, service.databaseUrl);
    strict.advance(toNextWindowSeconds());
    const guess = (secret: string) => strict.send(method, target, { ...rest, basic: [username, secret] });
    expect(await guess("wrong password")).toMatchObject({ status: 401, problem: "invalid-credentials" });
    for (const secret of ["wrong password", password]) {
      const answer = await guess(secret);
      expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
      expect(Number(answer.header("retry-after"))).toBeLessThanOrEqual(900);
    }
  });
}

/** Where the request has a token, its user's password will do as well. */
async function withPassword(service: TestService, sent: Sent): Promise<Sent> {
  if (sent.basic) return sent;
  const { json } = await service.send("GET", "/api/users/me", sent);
  return { ...withoutCredentials(sent), basic: [json.username, password] };
}

/** 500 and 503: what is not the client's fault, said without a word of why. */
export function survivesFaults(service: TestService, { method, target, good }: Request): void {
  test("500 for a fault of the service", async () => {
    const sent = await good();
    await service.withBrokenTables(async () => {
      const answer = await service.send(method, target, sent);
      expect(answer).toMatchObject({ status: 500, problem: "internal-error" });
      saysNothing(answer);
      expect(service.log.at(-1)).toContain("users");
    });
  });

  survivesOutage(service, { method, target, good });
}

/** 503: the database is away. */
export function survivesOutage(service: TestService, { method, target, good }: Request): void {
  test("503 while the database is away, and at once again when it is back", async () => {
    const sent = await good();
    await service.withoutDatabase(async () => {
      const answer = await service.send(method, target, sent);
      expect(answer).toMatchObject({ status: 503, problem: "database-unavailable" });
      expect(Number(answer.header("retry-after"))).toBeGreaterThan(0);
      saysNothing(answer);
    });
    expect((await service.send(method, target, sent)).status).toBeLessThan(300);
  });
}

function saysNothing(answer: Received): void {
  expect(answer.json.detail).toBeUndefined();
  expect(answer.text).not.toMatch(/users|relation|select|\/src\//i);
}

function withoutCredentials({ basic: _basic, bearer: _bearer, ...rest }: Sent): Sent {
  return rest;
}
