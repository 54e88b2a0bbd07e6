import { expect } from "vitest";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const { id } = await createKey(service, "miguel");
const rotate = async (id: string, overlap_seconds: number) =>
  (await service.send("POST", `/api/api-keys/${id}/rotations`, { basic, json: { overlap_seconds } })).json;

describeOperation("rotateApiKey", {
  service,
  target: `/api/api-keys/${id}/rotations`,
  request: () => ({ basic, json: { overlap_seconds: 60 } }),
  cases: {
    201: {
      "with a second secret, and the first one ends after the overlap": async () => {
        const first = await createKey(service, "miguel", { scopes: ["account:read"] });
        expect(await use(service, first.key)).toBe(200);
        const second = await rotate(first.id, 60);
        expect(second).toMatchObject({ id: first.id, scopes: ["account:read"], expires_at: null });
        expect(second.secrets.map(({ last_four }: { last_four: string }) => last_four)).toEqual(
          [second.key, first.key].map((key) => key.slice(-4)),
        );
        const endsInMs = Date.parse(second.secrets[1].expires_at) - Date.now();
        expect(endsInMs).toBeGreaterThan(50_000);
        expect(endsInMs).toBeLessThan(70_000);
        expect([await use(service, first.key), await use(service, second.key)]).toEqual([200, 200]);
        service.advance(61);
        expect([await use(service, first.key), await use(service, second.key)]).toEqual(["token-expired", 200]);
        service.advance(-61);
      },
      "without an overlap, and the first one ends at once": async () => {
        const first = await createKey(service, "miguel");
        expect(await use(service, first.key)).toBe(200);
        const second = await rotate(first.id, 0);
        expect(second.secrets).toMatchObject([{ last_four: second.key.slice(-4), expires_at: null }]);
        expect([await use(service, first.key), await use(service, second.key)]).toEqual(["invalid-token", 200]);
      },
      "during another overlap, and the oldest ends at once": async () => {
        const first = await createKey(service, "miguel");
        const second = await rotate(first.id, 3600);
        const third = await rotate(first.id, 3600);
        expect(third.secrets).toHaveLength(2);
        const uses = await Promise.all([first, second, third].map(({ key }) => use(service, key)));
        expect(uses).toEqual(["invalid-token", 200, 200]);
      },
      "and no overlap is longer than the key lives": async () => {
        const expires_at = new Date(Date.now() + 60_000).toISOString();
        const first = await createKey(service, "miguel", { expires_at });
        const { secrets } = await rotate(first.id, 3600);
        expect(secrets).toMatchObject([{ expires_at: null }, { expires_at }]);
      },
    },
    400: each(
      "for an overlap of %s",
      [[-1], [2_592_001], [1.5], ["60"], [null], [undefined]],
      async (overlap_seconds) => {
        const answer = await service.send("POST", `/api/api-keys/${id}/rotations`, {
          basic,
          json: { overlap_seconds },
        });
        expect(answer).toMatchObject({ status: 400, json: { errors: [{ pointer: "#/overlap_seconds" }] } });
      },
    ),
    403: {
      "for a key with a scope that the user does not have any more": async () => {
        const { id, key } = await createKey(service, "miguel");
        await service.sql("UPDATE api_keys SET scopes = '{users:read}' WHERE id = $1", [id]);
        expect(await rotate(id, 0)).toMatchObject({ type: "/problems/insufficient-scope", scope: "users:read" });
        expect(await use(service, key)).toBe(200);
      },
    },
    404: {
      "for another user's key": async () => {
        await service.register("susan");
        const foreign = await createKey(service, "susan");
        expect(await rotate(foreign.id, 0)).toMatchObject({ type: "/problems/not-found" });
        expect(await use(service, foreign.key)).toBe(200);
      },
    },
  },
});
