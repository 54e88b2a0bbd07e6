/** The Authorization header is parsed strictly, and rejected with a precise problem. */
import { describe, expect, test } from "vitest";
import { sendRaw } from "../support/client.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const base64 = (text: string) => Buffer.from(text).toString("base64");
const get = (authorization: string) => service.send("GET", "/api/resource", { headers: { authorization } });

describe("Authorization", () => {
  test.each([
    ["no value", "Basic"],
    ["broken base64", "Basic bWlndWVs*"],
    ["base64 with a space in it", `Basic ${base64(`miguel:${password}`).replace(/^(.{8})/, "$1 ")}`],
    ["base64url", `Basic ${Buffer.from("miguel:>>>???").toString("base64url")}`],
    ["base64 without its padding", "Basic bWlndWVsOjE"],
    ["base64 with unused bits set", "Basic bWlndWVsOjF="],
    ["no colon", `Basic ${base64("miguel")}`],
    ["bytes that are not UTF-8", `Basic ${Buffer.from([0x6d, 0xff, 0x3a, 0x78]).toString("base64")}`],
  ])("400 for Basic with %s", async (_name, authorization) => {
    const answer = await get(authorization);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.json.errors).toMatchObject([{ header: "Authorization" }]);
  });

  test.each([
    ["nothing", ""],
    ["another scheme", "Digest username=miguel"],
    ["a scheme that has ours in it", `aaBasicaa ${base64(`miguel:${password}`)}`],
    ["Basic joined to its value", `Basic${base64(`miguel:${password}`)}`],
  ])("401 authentication-required for %s", async (_name, authorization) => {
    expect(await get(authorization)).toMatchObject({ status: 401, problem: "authentication-required" });
  });

  test.each([["Bearer"], ["Bearer a.b.c"], ["Bearer a b"], [`Bearer ${"x".repeat(8000)}`]])(
    "401 invalid-token for %.20s",
    async (authorization) => {
      expect(await get(authorization)).toMatchObject({ status: 401, problem: "invalid-token" });
    },
  );

  test.each([
    ["an unknown name", "susan", password],
    ["a name that cannot be one", "mi guel", password],
    ["a password that cannot be one", "miguel", "correct\u0007horse"],
    ["no password", "miguel", ""],
    ["a longer password", "miguel", `${password}!`],
    ["a very long password", "miguel", "x".repeat(5000)],
  ])("401 invalid-credentials for %s", async (_name, username, secret) => {
    const answer = await service.send("GET", "/api/resource", { basic: [username, secret] });
    expect(answer).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });

  test("a well-formed header like the malformed ones above is accepted", async () => {
    expect(await get("Basic bWlndWVsOjE=")).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });

  test("a password may contain colons, and the scheme is case-insensitive", async () => {
    await service.send("POST", "/api/users", { json: { username: "colon", password: "lamp:ocean:pencil:river" } });
    expect((await get(`bAsIc ${base64("colon:lamp:ocean:pencil:river")}`)).status).toBe(200);
  });

  test("two headers are rejected, also by operations without security", async () => {
    const credentials = `Authorization: Basic ${base64(`miguel:${password}`)}\r\n`;
    for (const target of ["/api/resource", "/livez"]) {
      const bytes = `GET ${target} HTTP/1.1\r\nHost: x\r\n${credentials}${credentials}\r\n`;
      expect(await sendRaw(service.url, bytes, "GET", target)).toMatchObject({
        status: 400,
        problem: "invalid-request",
      });
    }
  });

  test("credentials are ignored by operations without security", async () => {
    expect((await service.send("GET", "/livez", { headers: { authorization: "Basic rubbish" } })).status).toBe(200);
  });
});
