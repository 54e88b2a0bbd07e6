import { expect } from "vitest";
import { newSecret } from "../../src/apiKeys/format.ts";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const revoke = (key: string) => service.send("POST", "/api/api-keys/revocations", { json: { key } });
const { text } = newSecret();

describeOperation("revokeApiKey", {
  service,
  request: () => ({ json: { key: newSecret().text } }),
  cases: {
    204: {
      "and the key is deleted, whoever owns it, without credentials": async () => {
        const { id, key } = await createKey(service, "miguel");
        expect(await use(service, key)).toBe(200);
        expect((await revoke(key)).status).toBe(204);
        expect(await use(service, key)).toBe("invalid-token");
        expect((await service.send("GET", `/api/api-keys/${id}`, { basic })).status).toBe(404);
      },
      "for a key that does not exist, the same": async () => {
        const { key } = await createKey(service, "miguel");
        const [found, again, unknown] = [await revoke(key), await revoke(key), await revoke(newSecret().text)];
        for (const { status, text } of [found, again, unknown])
          expect({ status, text }).toEqual({ status: 204, text: "" });
      },
      "and a secret whose overlap has ended does not end the key": async () => {
        const { id, key } = await createKey(service, "miguel");
        const rotated = await service.send("POST", `/api/api-keys/${id}/rotations`, {
          basic,
          json: { overlap_seconds: 60 },
        });
        await service.sql(
          "UPDATE api_key_secrets SET expires_at = now() WHERE key_id = $1 AND expires_at IS NOT NULL",
          [id],
        );
        expect((await revoke(key)).status).toBe(204);
        expect(await use(service, rotated.json.key)).toBe(200);
      },
    },
    400: each(
      "for %s",
      [
        ["a wrong checksum", text.slice(0, -1) + (text.endsWith("0") ? "1" : "0")],
        ["a shorter text", text.slice(0, -1)],
        ["a longer text", `${text}0`],
        ["another prefix", text.replace("lk_", "LK_")],
        ["a character that is no base62 digit", text.replace(/.$/, "-")],
        ["nothing", ""],
      ],
      async (_label, key) => {
        const { status, json } = await revoke(key);
        expect([status, json.errors[0].pointer]).toEqual([400, "#/key"]);
      },
    ),
  },
});
