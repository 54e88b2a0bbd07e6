import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import { refusesOtherSites, refusesUnsoundRequests, survivesOutage } from "../support/sharedCases.ts";

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

  test("204, and the revocation is kept five minutes longer than the token lives, for clocks that differ", async () => {
    const bearer = await service.token("miguel");
    const { access_token, id } = (await service.send("POST", "/api/sessions", { basic: ["miguel", password] })).json;
    for (const [token, subject] of [[bearer], [access_token, id]]) {
      const { jti, exp } = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
      expect((await service.send("DELETE", "/api/token", { bearer: token })).status).toBe(204);
      const [row] = await service.sql(
        "SELECT extract(epoch FROM expires_at)::float8 AS at FROM revocations WHERE subject = $1",
        [subject ?? jti],
      );
      expect(Math.abs(Number(row?.["at"]) - exp - 300)).toBeLessThan(3);
    }
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
