import { describe, expect, test } from "vitest";
import { refusesOtherSites, refusesUnsoundRequests, survivesOutage } from "./support/common.ts";
import { password, startTestService } from "./support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const read = (bearer: string, from = service) => from.send("GET", "/api/resource", { bearer });

describe("DELETE /api/token", () => {
  const request = {
    method: "DELETE",
    target: "/api/token",
    good: async () => ({ bearer: await service.token("miguel") }),
  };

  test("204, and this token no longer opens anything; another one does", async () => {
    const [bearer, other] = [await service.token("miguel"), await service.token("miguel")];
    expect((await service.send("DELETE", "/api/token", { bearer })).status).toBe(204);
    expect(await read(bearer)).toMatchObject({ status: 401, problem: "token-revoked" });
    expect(await read(other)).toMatchObject({ status: 200 });
  });

  test("204 for a token in place of the Basic username", async () => {
    const bearer = await service.token("miguel");
    expect((await service.send("DELETE", "/api/token", { basic: [bearer, "unused"] })).status).toBe(204);
    expect((await read(bearer)).status).toBe(401);
  });

  refusesUnsoundRequests(service, request);
  refusesOtherSites(service, request);

  test("401 without a token, with the Bearer challenge alone", async () => {
    const answer = await service.send("DELETE", "/api/token");
    expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
    expect(answer.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
  });

  test("401 for a password: it is not a token", async () => {
    const answer = await service.send("DELETE", "/api/token", { basic: [miguel.username, password] });
    expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
  });

  test("401 for a token that was revoked already", async () => {
    const { bearer } = await request.good();
    await service.send("DELETE", "/api/token", { bearer });
    const again = await service.send("DELETE", "/api/token", { bearer });
    expect(again).toMatchObject({ status: 401, problem: "token-revoked" });
    expect(again.header("www-authenticate")).toContain('error_description="The token has been revoked"');
  });

  test("500 for a fault of the service, and the token still works", async () => {
    const { bearer } = await request.good();
    await service.sql("ALTER TABLE revocations RENAME COLUMN subject TO gone");
    expect(await service.send("DELETE", "/api/token", { bearer })).toMatchObject({
      status: 500,
      problem: "internal-error",
    });
    await service.sql("ALTER TABLE revocations RENAME COLUMN gone TO subject");
    expect((await read(bearer)).status).toBe(200);
  });

  survivesOutage(service, request);
});
