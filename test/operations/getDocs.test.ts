import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("getDocs", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with a page that contains every operation and loads nothing": async () => {
        const answer = await service.send("GET", "/docs");
        expect(answer.status).toBe(200);
        expect(answer.text).toContain("createUser");
        expect(answer.text).not.toMatch(/<(?:script|img|iframe)[^>]+src=|<link[^>]+href="(?!data:)/);
        expect(answer.header("content-security-policy")).toMatch(/^default-src 'none'; script-src 'sha256-/);
      },
      "with the same bytes for every PUBLIC_URL, so that caches and instances agree": async () => {
        const elsewhere = await startTestService({ PUBLIC_URL: "https://auth.example.com" }, service.databaseUrl);
        const [here, there] = await Promise.all([service.send("GET", "/docs"), elsewhere.send("GET", "/docs")]);
        expect(there.header("etag")).toBe(here.header("etag"));
        expect(there.text).toBe(here.text);
      },
      "to a script of another origin, and Vary names both headers that it depends on": async () => {
        const origin = "https://app.example.com";
        const withCors = await startTestService({ CORS_ORIGINS: origin }, service.databaseUrl);
        for (const headers of [{ origin }, { origin, "if-none-match": "*" }]) {
          const answer = await withCors.send("GET", "/docs", { headers });
          expect(answer.header("vary")).toBe("Origin, Accept-Encoding");
          expect(answer.header("access-control-allow-origin")).toBe(origin);
        }
      },
      "compressed to less than a third of its length": async () => {
        const length = async (coding: string) => {
          const answer = await service.send("HEAD", "/docs", { headers: { "accept-encoding": coding } });
          return Number(answer.header("content-length"));
        };
        const whole = await length("identity");
        expect((await length("gzip")) / whole).toBeLessThan(0.3);
        expect((await length("br")) / whole).toBeLessThan(0.25);
      },
      ...each(
        "without a copy of the page for each client that does not read it: %s",
        [["identity"], ["br"]],
        async (coding) => {
          const { hostname, port } = new URL(service.url);
          await service.send("GET", "/docs", { headers: { "accept-encoding": coding } });
          const before = process.memoryUsage().rss;
          const request = `GET /docs HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`;
          const sockets = Array.from({ length: 200 }, () =>
            connect(Number(port), hostname, function (this: Socket) {
              this.pause().write(request.repeat(8)); // as many as the server takes from a connection ahead of time
            }),
          );
          await Promise.all(sockets.map((socket) => once(socket, "readable")));
          const grownMB = (process.memoryUsage().rss - before) / 1e6;
          for (const socket of sockets) socket.destroy();
          expect(grownMB).toBeLessThan(150); // copies would take 4,270 MB, or 900 MB compressed
        },
      ),
    },
  },
});
