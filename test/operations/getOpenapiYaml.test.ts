import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { parse } from "yaml";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("getOpenapiYaml", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with the bytes of the file": async () => {
        const answer = await service.send("GET", "/openapi.yaml");
        expect(answer.status).toBe(200);
        expect(answer.text).toBe(readFileSync("openapi.yaml", "utf8"));
      },
      "with PUBLIC_URL as the server": async () => {
        const other = await startTestService({ PUBLIC_URL: "https://auth.example.com" });
        const answer = await other.send("GET", "/openapi.yaml");
        expect(parse(answer.text).servers[0].url).toBe("https://auth.example.com");
        const created = await other.send("POST", "/api/users", { json: { username: "ann", password } });
        expect(created.header("location")).toBe(`https://auth.example.com/api/users/${created.json.id}`);
      },
    },
  },
});
