import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();

describe("GET /docs", () => {
  const request = { method: "GET", target: "/docs", good: () => Promise.resolve({}) };

  test("200 with a page that has every operation in it and loads nothing", async () => {
    const answer = await service.send("GET", "/docs");
    expect(answer.status).toBe(200);
    expect(answer.text).toContain("createUser");
    expect(answer.text).not.toMatch(/<(?:script|img|iframe)[^>]+src=|<link[^>]+href="(?!data:)/);
    expect(answer.header("content-security-policy")).toMatch(/^default-src 'none'; script-src 'sha256-/);
  });

  test("200 with the same bytes wherever the service is, so that caches and instances agree", async () => {
    const elsewhere = await startTestService({ PUBLIC_URL: "https://auth.example.com" }, service.databaseUrl);
    const [here, there] = await Promise.all([service.send("GET", "/docs"), elsewhere.send("GET", "/docs")]);
    expect(there.header("etag")).toBe(here.header("etag"));
    expect(there.text).toBe(here.text);
  });

  test("a script of another origin gets it with both reasons why it may vary", async () => {
    const origin = "https://app.example.com";
    const withCors = await startTestService({ CORS_ORIGINS: origin }, service.databaseUrl);
    for (const headers of [{ origin }, { origin, "if-none-match": "*" }]) {
      const answer = await withCors.send("GET", "/docs", { headers });
      expect(answer.header("vary")).toBe("Origin, Accept-Encoding");
      expect(answer.header("access-control-allow-origin")).toBe(origin);
    }
  });

  test("compressed, it is a quarter of its length at most", async () => {
    const length = async (coding: string) =>
      Number(
        (await service.send("HEAD", "/docs", { headers: { "accept-encoding": coding } })).header("content-length"),
      );
    const whole = await length("identity");
    expect((await length("gzip")) / whole).toBeLessThan(0.3);
    expect((await length("br")) / whole).toBeLessThan(0.25);
  });

  test.each(["identity", "br"])("clients that do not read it cost no copy of it each: %s", async (coding) => {
    const { hostname, port } = new URL(service.url);
    await service.send("GET", "/docs", { headers: { "accept-encoding": coding } });
    const before = process.memoryUsage().rss;
    const request = `GET /docs HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`;
    const sockets = Array.from({ length: 200 }, () =>
      connect(Number(port), hostname, function (this: Socket) {
        this.pause().write(request.repeat(8)); // as many as a connection may have sent ahead
      }),
    );
    await Promise.all(sockets.map((socket) => once(socket, "readable")));
    const grownMB = (process.memoryUsage().rss - before) / 1e6;
    for (const socket of sockets) socket.destroy();
    expect(grownMB).toBeLessThan(150); // a copy each would be 4,270 MB, or 900 MB compressed
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
