import { decodeJwt } from "jose";
import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const revoke = (bearer: string) => service.send("DELETE", "/api/token", { bearer });
const read = (bearer: string) => service.send("GET", "/api/resource", { bearer });

describeOperation("revokeToken", {
  service,
  request: async () => ({ bearer: await service.token("miguel") }),
  cases: {
    204: {
      "and that token is rejected; another one is not": async () => {
        const [bearer, other] = [await service.token("miguel"), await service.token("miguel")];
        expect((await revoke(bearer)).status).toBe(204);
        expect(await read(bearer)).toMatchObject({ status: 401, problem: "token-revoked" });
        expect(await read(other)).toMatchObject({ status: 200 });
      },
      "and keeps the revocation for five minutes after the token expires, for clocks that differ": async () => {
        const bearer = await service.token("miguel");
        const basic: [string, string] = ["miguel", password];
        const { access_token, id } = (await service.send("POST", "/api/sessions", { basic })).json;
        for (const [token, subject] of [[bearer], [access_token, id]]) {
          const { jti, exp } = decodeJwt(token);
          expect((await revoke(token)).status).toBe(204);
          const [row] = await service.sql(
            "SELECT extract(epoch FROM expires_at)::float8 AS at FROM revocations WHERE subject = $1",
            [subject ?? jti],
          );
          expect(Math.abs(Number(row?.["at"]) - Number(exp) - 300)).toBeLessThan(3);
        }
      },
      "for a token in place of the Basic username": async () => {
        const bearer = await service.token("miguel");
        expect((await service.send("DELETE", "/api/token", { basic: [bearer, "unused"] })).status).toBe(204);
        expect((await read(bearer)).status).toBe(401);
      },
    },
    401: {
      "for a token that is revoked already": async () => {
        const bearer = await service.token("miguel");
        await revoke(bearer);
        const again = await revoke(bearer);
        expect(again).toMatchObject({ status: 401, problem: "token-revoked" });
        expect(again.header("www-authenticate")).toContain('error_description="The token has been revoked"');
      },
    },
    500: {
      "for an unexpected error, and the token still works": async () => {
        const bearer = await service.token("miguel");
        await service.sql("ALTER TABLE revocations RENAME COLUMN subject TO gone");
        expect(await revoke(bearer)).toMatchObject({ status: 500, problem: "internal-error" });
        await service.sql("ALTER TABLE revocations RENAME COLUMN gone TO subject");
        expect((await read(bearer)).status).toBe(200);
      },
    },
  },
});
