import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const names = ["anna", "annabel", "ann%", "bob", "émile", "Ångström", "小林"];
for (const username of names) await service.register(username);
await service.sql("UPDATE users SET blocked_at = now() WHERE username IN ('bob', 'anna')");
const stored = ["administrator", "ann%", "anna", "annabel", "bob", "ångström", "émile", "小林"];

const list = (query = "") => service.send("GET", `/api/users${query}`, { basic });
const namesOf = async (query: string): Promise<string[]> => {
  const { json } = await list(query);
  expect(json.next).toBeNull();
  return json.users.map(({ username }: { username: string }) => username);
};

describeOperation("listUsers", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with all users in pages, in the order of code points, each once": async () => {
        const found: string[] = [];
        let after = "";
        for (let pages = 0; pages < 4; pages += 1) {
          const { json } = await list(`?limit=2${after}`);
          found.push(...json.users.map(({ username }: { username: string }) => username));
          after = `&after=${encodeURIComponent(json.next)}`;
          expect(json.next === null).toBe(pages === 3);
        }
        expect(found).toEqual(stored);
      },
      "from where the last page ended, although its last user was deleted": async () => {
        await service.register("annb");
        const { next } = (await list("?username_prefix=ann&limit=4")).json;
        expect(next).toBeNull();
        expect((await list("?username_prefix=ann&limit=2&after=anna")).json.users[0].username).toBe("annabel");
        await service.send("DELETE", "/api/users/me", { basic: ["annb", password] });
        expect(await namesOf("?after=annb")).toEqual(stored.slice(4));
      },
      "with what GET /api/users/{id} returns, and no secret": async () => {
        const { json, text } = await list("?username=administrator");
        expect(json.users).toEqual([(await service.send("GET", "/api/users/me", { basic })).json]);
        expect(json.users[0].roles).toEqual(["administrator"]);
        expect(text).not.toMatch(/argon2|hash|epoch/);
      },
      ...each<[string, string[]]>(
        "for ?%s",
        [
          ["username=ANNA", ["anna"]],
          ["username=%C3%85ngstr%C3%B6m", ["ångström"]],
          ["username=A%CC%8Angstro%CC%88m", ["ångström"]],
          ["username=ann", []],
          ["username=no%20body", []],
          ["username=mi%3Aguel", []],
          ["username=%ff", []],
          ["username=%00", []],
          [`username=${"x".repeat(65)}`, []],
          ["username_prefix=ANN", ["ann%", "anna", "annabel"]],
          ["username_prefix=ann%25", ["ann%"]],
          ["username_prefix=ann_", []],
          ["username_prefix=%25", []],
          ["username_prefix=%5C", []],
          ["username_prefix=%00", []],
          ["username_prefix=e%CC%81", ["émile"]],
          ["blocked=true", ["anna", "bob"]],
          ["blocked=false&username_prefix=ann", ["ann%", "annabel"]],
          ["blocked=true&username=annabel", []],
          ["role=administrator", ["administrator"]],
          ["role=administrator&blocked=true", []],
          ["role=default", []],
          ["role=no-such-role", []],
          ["after=bob", stored.slice(5)],
          ["after=zzz&blocked=true", []],
        ],
        async (query, expected) => expect(await namesOf(`?${query}`)).toEqual(expected),
      ),
    },
    400: each(
      "for ?%s",
      [
        ["limit=0"],
        ["limit=101"],
        ["limit=x"],
        ["blocked=1"],
        ["blocked="],
        ["username="],
        ["username_prefix="],
        ["username=a&username=b"],
        ["after=%00"],
        ["after="],
        ["role="],
        ["role=%00"],
        ["role=No%20Role"],
        [`after=${"x".repeat(65)}`],
      ],
      async (query) => {
        expect(await list(`?${query}`)).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    ),
  },
});
