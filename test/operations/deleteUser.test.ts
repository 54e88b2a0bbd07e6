import pg from "pg";
import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  asksForThePassword,
  refusesGuessing,
  refusesOtherSites,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();

describe("DELETE /api/users/me", () => {
  const request = {
    method: "DELETE",
    target: "/api/users/me",
    good: async () => ({ basic: [(await service.register()).username, password] as [string, string] }),
  };

  test("204, and neither the password nor a token opens anything", async () => {
    const { id, username } = await service.register();
    const bearer = await service.token(username);
    expect((await service.send("DELETE", "/api/users/me", { basic: [username, password] })).status).toBe(204);
    expect(await service.send("GET", "/api/resource", { bearer })).toMatchObject({
      status: 401,
      problem: "token-revoked",
    });
    expect(await service.send("GET", "/api/resource", { basic: [username, password] })).toMatchObject({
      status: 401,
      problem: "invalid-credentials",
    });
    expect(await service.sql("SELECT 1 FROM users WHERE id = $1", [id])).toEqual([]);
  });

  test("the name is free again, and an old token is not the new user's", async () => {
    const first = await service.register("phoenix");
    const bearer = await service.token("phoenix");
    await service.send("DELETE", "/api/users/me", { basic: ["phoenix", password] });
    const second = await service.register("phoenix");
    expect(second.id).not.toBe(first.id);
    expect((await service.send("GET", "/api/resource", { bearer })).status).toBe(401);
  });

  test("a deletion that began before a change of password does not end after it", async () => {
    const { id, username } = await service.register();
    const basic: [string, string] = [username, password];
    const holder = new pg.Client(service.databaseUrl);
    await holder.connect();
    const waiting = async (count: number) => {
      for (;;) {
        const rows = await service.sql(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        );
        if (rows.length >= count) return;
      }
    };
    // Both have checked the password when they come to the row, which is locked until then.
    await holder.query("BEGIN");
    await holder.query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", [id]);
    const json = { current_password: password, new_password: "staple horse correct" };
    const change = service.send("PUT", "/api/users/me/password", { basic, json });
    await waiting(1);
    const deletion = service.send("DELETE", "/api/users/me", { basic });
    await waiting(2);
    await holder.query("COMMIT");
    await holder.end();
    expect((await change).status).toBe(204);
    expect((await deletion).status).toBe(401);
  });

  refusesUnsoundRequests(service, request);
  refusesOtherSites(service, request);
  asksForThePassword(service, request);
  refusesGuessing(service, request);
  survivesFaults(service, request);
});
