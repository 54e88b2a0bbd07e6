/** Malformed HTTP, and requests outside the contract, get a precise 4xx and reach no handler. */
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { basicAuthorization, ca, sendRaw } from "../support/client.ts";
import { password, realHashes, startTestService } from "../support/service.ts";

const service = await startTestService(realHashes);
const overTls = await startTestService({
  TLS_CERT: "test/support/certificates/one.cert.pem",
  TLS_KEY: "test/support/certificates/one.key.pem",
});

/**
 * The statuses of all responses on a connection until it closes.
 * @param later sent as soon as the first response has arrived, and then once more
 */
function statusesOf(bytes: string, { later = "", url = service.url } = {}): Promise<string[]> {
  return new Promise((resolve) => {
    const { protocol, hostname, port } = new URL(url);
    const place = { port: Number(port), host: hostname };
    const begin = () => void socket.write(bytes);
    const socket = protocol === "https:" ? connectTls({ ...place, ca }, begin) : connect(place, begin);
    let read = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      if (read === "" && later) {
        socket.write(later);
        setImmediate(() => socket.writable && socket.write(later));
      }
      read += chunk;
    });
    socket.on("error", () => {}).setTimeout(10_000, () => socket.destroy());
    socket.once("close", () => resolve([...read.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status = ""]) => status)));
  });
}

describe("a request with", () => {
  test.each<[string, string]>([
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
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["an absolute target without a host", "GET http:///livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an absolute target without anything", "GET HTTP:// HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an absolute target with userinfo", "GET http://a@x/livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an absolute target with half a bracket", "GET http://[::1/livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an absolute target with a port that is none", "GET http://x:y/livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an absolute target and a Host that is none", "GET http://x/livez HTTP/1.1\r\nHost: a b\r\n\r\n"],
    ["a Host that is none in HTTP/1.0", "GET /livez HTTP/1.0\r\nHost: a@b\r\n\r\n"],
    ["a Host that is none in a preflight", "OPTIONS /livez HTTP/1.1\r\nHost: a/b\r\n\r\n"],
    ...[
      ...["", "a b", "a/b", "a@b", "a\\b", "a?b", "a#b", "a<b", 'a"b', "a|b", "a^b", "{a}", "\xe9", "a\tb", "a\x7fb"],
      ...[
        "[",
        "]",
        "[]",
        "[::1",
        "::1]",
        "::1",
        "[::1]]",
        "[[::1]]",
        "[::1]x",
        "a[::1]",
        "[::g]",
        "[1:2]",
        "[127.0.0.1]",
      ],
      ...["[fe80::1%eth0]", "[fe80::1%25eth0]", "[v1]", "[v1.]", "[vg.a]", "a%", "a%4", "a%zz", "%"],
      ...[
        ":",
        ":80",
        "a:b",
        "a:-1",
        "a:+1",
        "a:8 0",
        "a:80:80",
        "a:65536",
        "a:000080",
        "[::1]:x",
        "a:1e3",
        `${"a".repeat(256)}`,
      ],
    ].map(
      (host) => [`the Host "${host.slice(0, 20)}"`, `GET /livez HTTP/1.1\r\nHost: ${host}\r\n\r\n`] as [string, string],
    ),
  ])("%s is a 400 and the end of its connection", async (_name, bytes) => {
    const [method = "", target = ""] = bytes.split(" ");
    const answer = await sendRaw(service.url, bytes, method, target);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.header("connection")).toBe("close");
    expect(answer.header("x-content-type-options")).toBe("nosniff");
  });

  test.each([
    ...[
      "a",
      "a.example",
      "A_b-c~d",
      "xn--bcher-kva.example.",
      "a%41",
      "a!$&'()*+,;=b",
      "127.0.0.1",
      "1",
      "a".repeat(255),
    ],
    ...["[::1]", "[::]:8080", "[2001:DB8::192.0.2.1]:0", "[v1.a:b]", "a:", "a:0", "a:65535", "  a  "],
  ])("the Host %j is served, also in an absolute target", async (host) => {
    for (const target of ["/livez", `http://${host.trim()}/livez`]) {
      const bytes = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
      expect((await sendRaw(service.url, bytes, "GET", target)).status).toBe(200);
    }
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

  test("garbage after requests never replaces their responses", async () => {
    const slow = `GET /api/resource HTTP/1.1\r\nHost: x\r\nAuthorization: ${basicAuthorization(["nobody", "wrong"])}\r\n\r\n`;
    const chunked =
      "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
    for (const unsound of [
      "GARBAGE",
      "OPTIONS * HTTP/1.1\r\nHost: x",
      "GET http:///livez HTTP/1.1\r\nHost: x",
      "GET /livez HTTP/1.1\r\nHost: a b",
      "CONNECT a:1 HTTP/1.1\r\nHost: x",
      `${chunked}\r\n\r\nzz`,
      `GET /livez HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(20_000)}`,
    ]) {
      const ahead = `GET /livez HTTP/1.1\r\nHost: x\r\n\r\n${slow}${slow}`;
      for (const { url } of [service, overTls]) {
        // Later bytes are not processed, neither in the same packet nor after it.
        const statuses = await statusesOf(`${ahead}${unsound}\r\n\r\n${slow}`, { later: slow, url });
        expect(statuses, unsound).toEqual(["200", "401", "401", "400"]);
      }
    }
  });

  test("bytes after the last request of a connection are not processed", async () => {
    const last = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const register = (username: string) => {
      const body = JSON.stringify({ username, password });
      return `POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    };
    expect(await statusesOf(last + register("behind.close"), { later: register("later.close") })).toEqual(["200"]);
    const unsound = "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n";
    expect(await statusesOf(unsound + register("behind.400"), { later: register("later.400") })).toEqual(["400"]);
    expect(await statusesOf(`GARBAGE\r\n\r\n${register("behind.garbage")}`)).toEqual(["400"]);
    // The last response is slow, so that the following bytes arrive before it.
    const slow = `GET /api/resource HTTP/1.1\r\nHost: x\r\nAuthorization: ${basicAuthorization(["nobody", "wrong"])}\r\n`;
    const first = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for (const ending of ["Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "Upgrade: h2c\r\n\r\n"]) {
      const name = ending.includes("Connection") ? "upgrade" : "nearly";
      const sent = first + slow + ending + register(`behind.${name}`);
      expect(await statusesOf(sent, { later: register(`later.${name}`) })).toEqual(["200", "401"]);
    }
    // Earlier registrations would be stored by the time these are.
    for (const _ of [1, 2]) await service.register();
    expect(await service.sql("SELECT username FROM users WHERE username ~ '^(behind|later)'")).toEqual([]);
  });

  const upgrade = (protocol: string, connection = "Connection: Upgrade, HTTP2-Settings\r\n") =>
    `GET /livez HTTP/1.1\r\nHost: x\r\n${connection}Upgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n`;
  const smuggled = "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";

  test("many requests after the last one close the connection", async () => {
    const credentials = `Authorization: ${basicAuthorization(["miguel", "wrong password"])}\r\n`;
    const slow = `POST /api/sessions HTTP/1.1\r\nHost: x\r\n${credentials}\r\n`;
    const last = "GET /livez HTTP/1.1\r\n\r\n"; // without Host
    const behind = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    expect(await statusesOf(slow + last + behind.repeat(3))).toEqual(["401", "400"]);
    expect(await statusesOf(slow + last + behind.repeat(100))).toEqual([]);
  });

  test.each([
    ["h2c", upgrade("h2c")],
    ["websocket", upgrade("websocket", "Connection: keep-alive, Upgrade\r\n")],
    ["an unknown protocol", upgrade("foo/1, bar")],
    ["no option in Connection", upgrade("h2c", "")],
    ["HTTP/1.0", upgrade("h2c").replace("HTTP/1.1", "HTTP/1.0")],
  ])(
    "an Upgrade with %s is answered without it, and ends its connection: nothing behind it is a request",
    async (_, head) => {
      const behind = `POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\n\r\n`;
      for (const { url } of [service, overTls]) {
        expect(await statusesOf(head + behind, { later: smuggled, url })).toEqual(["200"]);
        expect(await statusesOf(head, { later: smuggled, url })).toEqual(["200"]);
        expect(await statusesOf(smuggled + head + smuggled, { later: smuggled, url })).toEqual(["404", "200"]);
      }
      const answer = await sendRaw(service.url, head, "GET", "/livez");
      expect(answer).toMatchObject({ status: 200 });
      expect(answer.header("connection")).toBe("close");
    },
  );

  test.each([
    ["a length", (body: string) => `Content-Length: ${body.length}\r\n\r\n${body}`],
    [
      "chunks",
      (body: string) => `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
  ])("a body with %s is read where an Upgrade is asked for", async (name, framed) => {
    const username = `upgraded.${name.replace(" ", "")}`;
    const head =
      "POST /api/users HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Type: application/json\r\n";
    const request = head + framed(JSON.stringify({ username, password }));
    expect(await statusesOf(request + smuggled, { later: smuggled })).toEqual(["201"]);
    expect(await service.sql("SELECT username FROM users WHERE username = $1", [username])).toHaveLength(1);
  });

  test("a few pipelined requests are answered in order; a hundred close the connection", async () => {
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
    expect((await sendRaw(service.url, "GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/")).status).toBe(200);
    // The target's host is used, and Host is ignored (RFC 9112, section 3.2.2).
    const other = "GET http://b.example:81/livez?x HTTP/1.1\r\nHost: a.example\r\n\r\n";
    expect((await sendRaw(service.url, other, "GET", "/livez")).json.errors).toMatchObject([{ parameter: "x" }]);
    const absolute = "GET http://example.com/livez HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    expect((await sendRaw(service.url, absolute, "GET", "/livez")).status).toBe(200);
    const expecting = "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: the-impossible\r\n\r\n";
    expect((await sendRaw(service.url, expecting, "GET", "/livez")).status).toBe(200);
  });
});

describe("a path that is not in the contract", () => {
  test.each([
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
    ["HEAD", "/api/api-keys/revocations"],
    ["OPTIONS", "/api/token"],
    ["TRACE", "/livez"],
    ["PUT", "/api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"],
  ])("%s %s is a 405 with Allow", async (method, target) => {
    const answer = await service.send(method, target);
    expect(answer.status).toBe(405);
    expect(answer.header("allow")).toBeDefined();
  });
});

test("a Content-Type without a body is ignored", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const heapAfter = async (prefix: string) => {
    for (let count = 0; count < 100; count += 1) {
      const headers = { "content-type": `application/${prefix}${count}` };
      expect((await service.send("GET", "/problems/not-found", { headers })).status).toBe(200);
    }
    service.log.length = 0;
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = await heapAfter("warm-up");
  expect((await heapAfter("other")) - before).toBeLessThan(500_000);
});
