/** What is not sound HTTP, or not in the contract, gets a precise 4xx and reaches no handler. */
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { basicAuthorization, sendRaw } from "./support/client.ts";
import { startTestService } from "./support/service.ts";

const service = await startTestService();

/** The statuses of all that a connection answers until it closes. */
function statusesOf(bytes: string): Promise<string[]> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let read = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      read += chunk;
    });
    socket.on("error", () => {}).setTimeout(10_000, () => socket.destroy());
    socket.once("close", () => resolve([...read.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status = ""]) => status)));
  });
}

describe("a request with", () => {
  test.each([
    ["no Host", "GET /livez HTTP/1.1\r\n\r\n"],
    ["two Hosts", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    [
      "both lengths",
      "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    ],
    ["two lengths", "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    ["a length that is none", "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"],
    ["an encoding that is not chunked", "POST /api/users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n"],
    ["chunked twice", "POST /api/users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    [
      "two types",
      "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ["a folded header", "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n"],
    ["chunks in HTTP/1.0", "POST /api/users HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["a target of another scheme", "GET ftp://example.com/livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a target that is no path", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a fragment", "GET /livez#top HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a fragment behind its query", "GET http://x/livez?#top HTTP/1.1\r\nHost: x\r\n\r\n"],
    [
      "two Authorizations far apart",
      `GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\n${"a:\r\n".repeat(2100)}Authorization: b\r\n\r\n`,
    ],
    [
      "a chunk that is none",
      "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ["a space before the colon", "GET /livez HTTP/1.1\r\nHost : x\r\n\r\n"],
    ["headers of 20 KB", `GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ${"a".repeat(20_000)}\r\n\r\n`],
    ["NUL in a header", "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n"],
    ["an unknown method", "BREW /livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a tunnel", "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["no HTTP at all", "hello\r\n\r\n"],
  ])("%s is a 400 and the end of its connection", async (_name, bytes) => {
    const [method = "", target = ""] = bytes.split(" ");
    const answer = await sendRaw(service.url, bytes, method, target);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.header("connection")).toBe("close");
  });

  test.each([
    ["no path", "HEAD * HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a fragment", "HEAD /livez#top HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["NUL in a header", "HEAD /livez HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n"],
    ["no Host", "HEAD /livez HTTP/1.1\r\n\r\n"],
  ])("for HEAD with %s the 400 has no body", async (_name, bytes) => {
    const [method = "", target = ""] = bytes.split(" ");
    expect(await sendRaw(service.url, bytes, method, target)).toMatchObject({ status: 400, text: "" });
  });

  test("garbage behind requests never gets an answer in place of theirs", async () => {
    const slow = `GET /api/resource HTTP/1.1\r\nHost: x\r\nAuthorization: ${basicAuthorization(["nobody", "wrong"])}\r\n\r\n`;
    for (const unsound of ["GARBAGE", "OPTIONS * HTTP/1.1\r\nHost: x", "CONNECT a:1 HTTP/1.1\r\nHost: x"]) {
      const statuses = await statusesOf(`GET /livez HTTP/1.1\r\nHost: x\r\n\r\n${slow}${slow}${unsound}\r\n\r\n`);
      expect(["", "200", "200 401", "200 401 401"], unsound).toContain(statuses.join(" "));
    }
  });

  test("a few requests sent ahead are answered in their order; a hundred end the connection", async () => {
    const paths = ["/livez", "/nowhere", "/livez", "/api/resource"];
    const ahead = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join("");
    expect(await statusesOf(`${ahead}GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toEqual([
      "200",
      "404",
      "200",
      "401",
      "200",
    ]);
    const slow = `GET /api/resource HTTP/1.1\r\nHost: x\r\nAuthorization: ${basicAuthorization(["nobody", "wrong"])}\r\n\r\n`;
    const before = service.hashingWork();
    expect((await statusesOf(slow.repeat(100))).length).toBeLessThanOrEqual(8);
    expect(service.hashingWork() - before).toBeLessThanOrEqual(9 * 19_456 * 2);
  });

  test("HTTP/1.0, an absolute target or an Expect is served", async () => {
    expect((await sendRaw(service.url, "GET /livez HTTP/1.0\r\n\r\n", "GET", "/livez")).status).toBe(200);
    expect(
      (await sendRaw(service.url, "GET http://[::1/livez HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/livez")).status,
    ).toBe(200);
    expect((await sendRaw(service.url, "GET HTTP:// HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/")).status).toBe(404);
    const absolute = "GET http://example.com/livez HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    expect((await sendRaw(service.url, absolute, "GET", "/livez")).status).toBe(200);
    const expecting = "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: the-impossible\r\n\r\n";
    expect((await sendRaw(service.url, expecting, "GET", "/livez")).status).toBe(200);
  });
});

describe("a path that is not in the contract", () => {
  test.each([
    "/",
    "/api",
    "/api/",
    "/api/users/",
    "/API/users",
    "/api//users",
    "/api/users/me/",
    "/api/%75sers",
    "/api/users%2fme",
    "/api/users/../token",
    "/api/users/me/password/x",
    "/api/resource;a=b",
    "/api/resource%00",
    "/.well-known/",
    "/docs/",
    "/docs/..%2f..%2fpackage.json",
    "//livez",
  ])("%s is a 404", async (target) => {
    const answer = await service.send("GET", target);
    expect(answer).toMatchObject({ status: 404, problem: "not-found" });
  });

  test.each([
    ["DELETE", "/api/resource"],
    ["PATCH", "/api/users/me"],
    ["HEAD", "/api/users"],
    ["OPTIONS", "/api/token"],
    ["TRACE", "/livez"],
    ["PUT", "/api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"],
  ])("%s %s is a 405 with Allow", async (method, target) => {
    const answer = await service.send(method, target);
    expect(answer.status).toBe(405);
    expect(answer.header("allow")).toBeDefined();
  });
});
