import { expect, test } from "vitest";
import { startTestService } from "../support/service.ts";

const origin = "https://app.example.com";
const service = await startTestService({ CORS_ORIGINS: `${origin},https://other.example.com` });

/** CORS. A preflight is sent by the browser, and is no operation of the contract. */
const preflight = (from: string) =>
  fetch(`${service.url}/api/users`, {
    method: "OPTIONS",
    headers: {
      origin: from,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    },
  });

test("scripts of the origins in CORS_ORIGINS may call the API and read its headers", async () => {
  const asked = await preflight(origin);
  expect(asked.status).toBe(204);
  expect(asked.headers.get("access-control-allow-origin")).toBe(origin);
  expect(asked.headers.get("access-control-allow-headers")).toBe("authorization,content-type");
  const answer = await service.send("GET", "/api/resource", { headers: { origin } });
  expect(answer.status).toBe(401);
  expect(answer.header("access-control-allow-origin")).toBe(origin);
  expect(answer.header("access-control-expose-headers")).toContain("WWW-Authenticate");
});

test("scripts of other origins may not", async () => {
  expect((await preflight("https://evil.example.com")).headers.get("access-control-allow-origin")).toBeNull();
});

test("without CORS_ORIGINS no CORS header is sent", async () => {
  const other = await startTestService();
  const answer = await other.send("GET", "/livez", { headers: { origin } });
  expect(answer.header("access-control-allow-origin")).toBeUndefined();
  expect((await other.send("OPTIONS", "/livez", { headers: { origin } })).status).toBe(405);
});
