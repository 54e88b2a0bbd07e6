import { hash } from "@node-rs/argon2";
import { describe, expect, test } from "vitest";
import { sendRaw } from "../support/client.ts";
import { password, startTestService } from "../support/service.ts";
import {
  refusesOtherBodies,
  refusesOtherSites,
  refusesUnreadableForms,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
const register = (username: unknown, secret: unknown = password) =>
  service.send("POST", "/api/users", { json: { username, password: secret } });

describe("POST /api/users", () => {
  let count = 0;
  const request = {
    method: "POST",
    target: "/api/users",
    good: () => Promise.resolve({ json: { username: `good${++count}`, password } }),
  };

  test("201 with the user, and where to read it", async () => {
    const answer = await register("miguel");
    expect(answer).toMatchObject({ status: 201, json: { username: "miguel" } });
    expect(answer.header("location")).toBe(`/api/users/${answer.json.id}`);
    const read = await service.send("GET", String(answer.header("location")), { basic: ["miguel", password] });
    expect(read.json).toEqual(answer.json);
  });

  test("the password is stored as an argon2id hash only", async () => {
    await register("hashed", "a password that is looked for");
    const [row] = await service.sql("SELECT * FROM users WHERE username = 'hashed'");
    expect(row?.["password_hash"]).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(JSON.stringify(row)).not.toContain("looked for");
  });

  test("201 for an e-mail address and for names in other scripts", async () => {
    for (const username of ["miguel@example.com", "miguel.g+x@example.com", "Ольга", "אבי", "小林", "عمر"]) {
      expect((await register(username)).status, username).toBe(201);
    }
  });

  test("joiners are allowed where they are spelled; a refusal names the character, to the client alone", async () => {
    for (const username of ["می\u200cخواهم", "क\u094d\u200dष"]) {
      const secret = "نمی\u200cدانم correct horse";
      expect((await register(username, secret)).status, username).toBe(201);
      expect((await service.send("GET", "/api/users/me", { basic: [username, secret] })).json.username).toBe(username);
    }
    const detail = "has U+200D at position 2, which is allowed only behind a virama (RFC 5892, A.2)";
    const name = await register("a\u200db");
    expect(name.json.errors).toEqual([{ pointer: "#/username", detail }]);
    const refused = await register("joiner", "a\u200db correct horse");
    expect(refused.json.errors).toEqual([{ pointer: "#/password", detail }]);
    expect(service.log.join("")).not.toMatch(/U\+200D|\u200d/);
  });

  test("halfwidth Hangul does not open the account of the syllable", async () => {
    await register("가");
    const [halfwidth, decomposed] = ["\uffa1\uffc2", "\u1100\u1161"];
    expect((await service.send("GET", "/api/users/me", { basic: [halfwidth, password] })).status).toBe(401);
    expect((await service.send("GET", "/api/users/me", { basic: [decomposed, password] })).status).toBe(200);
    expect((await register(halfwidth)).status).toBe(400);
  });

  test("a name and a password that are no longer accepted still sign in", async () => {
    // U+1C89 is of Unicode 16: an earlier version took what its Node knew.
    const secret = "\u1c89 a\u200db correct horse";
    const values = [await hash(secret, { memoryCost: 8192, timeCost: 5, parallelism: 1 }), "old\u1c8a"];
    await service.sql("INSERT INTO users (id, username, password_hash) VALUES (gen_random_uuid(), $2, $1)", values);
    const answer = await service.send("GET", "/api/users/me", { basic: ["OLD\u1c8a", secret] });
    expect(answer).toMatchObject({ status: 200, json: { username: "old\u1c8a" } });
    expect((await register("new\u1c8a")).status).toBe(400);
  });

  test("429 after too many from one address", async () => {
    const strict = await startTestService({ THROTTLE_REGISTRATIONS: "1" });
    expect((await strict.send("POST", "/api/users", { json: { username: "first", password } })).status).toBe(201);
    const answer = await strict.send("POST", "/api/users", { json: { username: "second", password } });
    expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
  });

  refusesUnsoundRequests(service, request);
  refusesOtherSites(service, request);

  test("400 names each place that is wrong", async () => {
    const answer = await service.send("POST", "/api/users", { json: { username: 7, extra: true } });
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    const pointers = answer.json.errors.map(({ pointer }: { pointer: string }) => pointer);
    expect(pointers.sort()).toEqual(["#/extra", "#/password", "#/username"]);
  });

  test("400 names them by JSON Pointers, as URI fragments", async () => {
    const json = { username: "pointed", password, "a/b": 0, "c~d": 0, "~1": 0, "e#f": 0, "g%h i": 0 };
    const answer = await service.send("POST", "/api/users", { json });
    const pointers = answer.json.errors.map(({ pointer }: { pointer: string }) => pointer);
    expect(pointers.sort()).toEqual(["#/a~1b", "#/c~0d", "#/e%23f", "#/g%25h%20i", "#/~01"].sort());
  });

  test("400 names at most twenty of them", async () => {
    const json = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`unknown${index}`, 0]));
    const answer = await service.send("POST", "/api/users", { json });
    expect(answer.status).toBe(400);
    expect(answer.json.errors).toHaveLength(20);
  });

  test("400 for a member without a name", async () => {
    const answer = await service.send("POST", "/api/users", { json: { username: "empty", password, "": 1 } });
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.json.errors[0]).toHaveProperty("pointer");
  });

  test.each([
    ["an empty name", ""],
    ["a colon", "mi:guel"],
    ["a space", "mi guel"],
    ["NUL", "mi\u0000guel"],
    ["a lone surrogate", "mi\ud800guel"],
    ["65 code points", "x".repeat(65)],
    ["a zero-width joiner", "mi\u200dguel"],
    ["an emoji", "miguel😀"],
    ["a mix of directions", "miguelאבי"],
    ["the shape of a token", "eyJabc.def"],
  ])("400 for a username with %s", async (_name, username) => {
    const answer = await register(username);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.json.errors[0].pointer).toBe("#/username");
  });

  test.each([
    ["NUL", "correct\u0000horse"],
    ["a lone surrogate", "correct horse \udfff"],
    ["nothing", ""],
  ])("400 for a password with %s", async (_name, secret) => {
    const answer = await register("somebody", secret);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.json.errors[0].pointer).toBe("#/password");
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "{username:"],
    ["another type", '"miguel"'],
    ["an array", "[]"],
    ["null", "null"],
    ["bytes that are not UTF-8", Buffer.from('{"username":"proto","password":"correct \xff horse"}', "latin1")],
    ["deep nesting", `${"[".repeat(8000)}${"]".repeat(8000)}`],
    ["__proto__", '{"username":"proto","password":"correct horse battery","__proto__":{"admin":true}}'],
    ["constructor", '{"username":"proto","password":"correct horse battery","constructor":{"prototype":1}}'],
  ])("400 for a body of %s", async (_name, body) => {
    const answer = await service.send("POST", "/api/users", { body, headers: { "content-type": "application/json" } });
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test("nothing that was refused is stored", async () => {
    expect(await service.sql("SELECT 1 FROM users WHERE username IN ('proto', 'somebody')")).toEqual([]);
  });

  refusesUnreadableForms(service, request);

  test("409 for a name that is taken, in any case and normal form", async () => {
    expect((await register("José")).status).toBe(201);
    for (const same of ["José", "JOSÉ", "jose\u0301", "ＪＯＳÉ"]) {
      expect(await register(same), same).toMatchObject({ status: 409, problem: "username-taken" });
    }
  });

  test("413 for a body in a thousand pieces, which would be kept one by one", async () => {
    const head =
      "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    const answer = await sendRaw(service.url, head + "1\r\n \r\n".repeat(4_000), "POST", "/api/users");
    expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
    expect(answer.header("connection")).toBe("close");
  });

  refusesOtherBodies(service, request);

  test.each([
    ["too-short", "python"],
    ["too-long", "long ".repeat(30)],
    ["too-long", "e\u0301".repeat(129)],
    ["too-common", "PasswordPassword"],
    ["too-predictable", "Summer2026Summer2026"],
    ["contains-username", "the one and only WEAKLING"],
  ])("422 %s", async (reason, secret) => {
    const answer = await register("weakling", secret);
    expect(answer).toMatchObject({ status: 422, problem: "password-refused", json: { reason } });
  });

  survivesFaults(service, request);
});
