import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { refusesUnreadableForms, refusesUnsoundRequests } from "./support/common.ts";
import { startTestService } from "./support/service.ts";

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

  test("200 with code samples that find the service where it is", async () => {
    const elsewhere = await startTestService({ PUBLIC_URL: "https://auth.example.com" });
    const { text } = await elsewhere.send("GET", "/docs");
    expect(text).toContain("https://auth.example.com/api/token");
    expect(text).not.toContain("127.0.0.1");
  });

  test("clients that do not read it cost no copy of it each", async () => {
    const { hostname, port } = new URL(service.url);
    const before = process.memoryUsage().rss;
    const sockets = Array.from({ length: 200 }, () =>
      connect(Number(port), hostname, function (this: Socket) {
        this.pause().write("GET /docs HTTP/1.1\r\nHost: x\r\n\r\n");
      }),
    );
    await Promise.all(sockets.map((socket) => once(socket, "readable")));
    const grownMB = (process.memoryUsage().rss - before) / 1e6;
    for (const socket of sockets) socket.destroy();
    expect(grownMB).toBeLessThan(150); // a copy each would be 520 MB
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
