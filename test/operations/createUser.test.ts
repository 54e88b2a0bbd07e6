import { hash } from "@node-rs/argon2";
import { expect } from "vitest";
import { sendRaw } from "../support/client.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, realHashes, startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService({ ...realHashes, PASSWORD_BLOCKLIST: "on" });
const administrator = await service.administrator();
const register = (username: unknown, secret: unknown = password) =>
  service.send("POST", "/api/users", { json: { username, password: secret } });
const pointersOf = (errors: { pointer: string }[]) => errors.map(({ pointer }) => pointer).sort();
const isStored = async (...usernames: string[]) =>
  (await service.sql("SELECT 1 FROM users WHERE username = ANY($1)", [usernames])).length > 0;

let count = 0;

describeOperation("createUser", {
  service,
  request: () => ({ json: { username: `good${++count}`, password } }),
  cases: {
    201: {
      "with the user and its location": async () => {
        const answer = await register("miguel");
        expect(answer).toMatchObject({ status: 201, json: { username: "miguel" } });
        expect(answer.header("location")).toBe(`/api/users/${answer.json.id}`);
        const read = await service.send("GET", String(answer.header("location")), { basic: ["miguel", password] });
        expect(read.json).toEqual(answer.json);
      },
      "by an administrator, with roles and without the limit on registrations": async () => {
        const strict = await startTestService({ THROTTLE_REGISTRATIONS: "1" }, service.databaseUrl);
        for (const username of ["colleague1", "colleague2"]) {
          const json = { username, password, roles: ["administrator"] };
          const answer = await strict.send("POST", "/api/users", { json, basic: administrator });
          expect(answer).toMatchObject({ status: 201, json: { username, roles: ["administrator"], blocked: false } });
          const basic: [string, string] = [username, password];
          expect((await service.send("GET", "/api/users?limit=1", { basic })).status).toBe(200);
        }
        // The network of the administrator is not one of the new user.
        expect(
          await service.sql(
            "SELECT 1 FROM familiar_networks JOIN users ON id = user_id WHERE username LIKE 'colleague_' AND NOT by_password",
          ),
        ).toEqual([]);
        await strict.close();
      },
      "for a user with credentials, as for everyone": async () => {
        const basic: [string, string] = [(await service.register()).username, password];
        const json = { username: "sibling", password, roles: [] };
        expect(await service.send("POST", "/api/users", { json, basic })).toMatchObject({ status: 201 });
      },
      "and stores the password only as an argon2id hash": async () => {
        await register("hashed", "a password that is looked for");
        const [row] = await service.sql("SELECT * FROM users WHERE username = 'hashed'");
        expect(row?.["password_hash"]).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
        expect(JSON.stringify(row)).not.toContain("looked for");
      },
      "for e-mail addresses and names in other scripts": async () => {
        for (const username of ["miguel@example.com", "miguel.g+x@example.com", "Ольга", "אבי", "小林", "عمر"]) {
          expect((await register(username)).status, username).toBe(201);
        }
      },
      "with the credentials of the user who registers, as some generated clients send them": async () => {
        const json = { username: "eager", password };
        const answer = await service.send("POST", "/api/users", { json, basic: ["eager", password] });
        expect(answer).toMatchObject({ status: 201, json: { username: "eager", roles: [] } });
      },
      "for joiners where a script needs them; elsewhere only the client is told which character is wrong": async () => {
        for (const username of ["می\u200cخواهم", "क\u094d\u200dष"]) {
          const secret = "نمی\u200cدانم correct horse";
          expect((await register(username, secret)).status, username).toBe(201);
          const basic: [string, string] = [username, secret];
          expect((await service.send("GET", "/api/users/me", { basic })).json.username).toBe(username);
        }
        const detail = "has U+200D at position 2, which is allowed only behind a virama (RFC 5892, A.2)";
        const name = await register("a\u200db");
        expect(name.json.errors).toEqual([{ pointer: "#/username", detail }]);
        const refused = await register("joiner", "a\u200db correct horse");
        expect(refused.json.errors).toEqual([{ pointer: "#/password", detail }]);
        expect(service.log.join("")).not.toMatch(/U\+200D|\u200d/);
      },
      "for a Hangul syllable, whose halfwidth letters are another name": async () => {
        await register("가");
        const [halfwidth, decomposed] = ["\uffa1\uffc2", "\u1100\u1161"];
        expect((await service.send("GET", "/api/users/me", { basic: [halfwidth, password] })).status).toBe(401);
        expect((await service.send("GET", "/api/users/me", { basic: [decomposed, password] })).status).toBe(200);
        expect((await register(halfwidth)).status).toBe(400);
      },
    },
    401: {
      "for roles without credentials, and stores nothing": async () => {
        const json = { username: "self-made", password, roles: ["administrator"] };
        const answer = await service.send("POST", "/api/users", { json });
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
        expect(answer.headers["www-authenticate"]).toEqual([
          'Basic realm="latchkey", charset="UTF-8"',
          'Bearer realm="latchkey"',
        ]);
        expect(await isStored("self-made")).toBe(false);
      },
      "for roles with invalid credentials, and says why": async () => {
        const json = { username: "unproven", password, roles: ["administrator"] };
        for (const [credentials, problem] of [
          [{ basic: ["miguel", "wrong password"] as [string, string] }, "invalid-credentials"],
          [{ bearer: "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0." }, "invalid-token"],
        ] as const) {
          const answer = await service.send("POST", "/api/users", { json, ...credentials });
          expect(answer).toMatchObject({ status: 401, problem });
        }
        expect(await isStored("unproven")).toBe(false);
      },
      "if REGISTRATION is closed": async () => {
        const closed = await startTestService({ REGISTRATION: "closed" }, service.databaseUrl);
        const create = (username: string, sent: object = {}) =>
          closed.send("POST", "/api/users", { json: { username, password }, ...sent });
        expect(await create("outsider")).toMatchObject({ status: 401, problem: "authentication-required" });
        const basic: [string, string] = [(await service.register()).username, password];
        expect(await create("outsider", { basic })).toMatchObject({ status: 403, problem: "insufficient-scope" });
        expect(await isStored("outsider")).toBe(false);
        expect((await create("insider", { basic: administrator })).status).toBe(201);
        await closed.close();
      },
    },
    403: {
      "for roles from a user without the scope, and stores nothing": async () => {
        const basic: [string, string] = [(await service.register()).username, password];
        const json = { username: "promoted", password, roles: ["administrator"] };
        for (const credentials of [{ basic }, { bearer: await service.token(basic[0]) }]) {
          const answer = await service.send("POST", "/api/users", { json, ...credentials });
          expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope: "users:write" } });
        }
        expect(await isStored("promoted")).toBe(false);
      },
    },
    400: {
      "for a role that does not exist, and default, and stores nothing": async () => {
        const json = { username: "roleless", password, roles: ["administrator", "default", "pilot"] };
        const answer = await service.send("POST", "/api/users", { json, basic: administrator });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.json.errors).toEqual([
          { pointer: "#/roles/1", detail: "every user has the role default" },
          { pointer: "#/roles/2", detail: 'there is no role "pilot"' },
        ]);
        expect(await isStored("roleless")).toBe(false);
      },
      "for a name of a later Unicode version; one that is stored already still signs in": async () => {
        // U+1C89 is of Unicode 16: an earlier version of this service accepted what its Node.js knew.
        const secret = "\u1c89 a\u200db correct horse";
        const values = [await hash(secret, { memoryCost: 8192, timeCost: 5, parallelism: 1 }), "old\u1c8a"];
        await service.sql("INSERT INTO users (id, username, password_hash) VALUES (gen_random_uuid(), $2, $1)", values);
        const answer = await service.send("GET", "/api/users/me", { basic: ["OLD\u1c8a", secret] });
        expect(answer).toMatchObject({ status: 200, json: { username: "old\u1c8a" } });
        expect((await register("new\u1c8a")).status).toBe(400);
      },
      "and names each invalid member": async () => {
        const answer = await service.send("POST", "/api/users", { json: { username: 7, extra: true } });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(pointersOf(answer.json.errors)).toEqual(["#/extra", "#/password", "#/username"]);
      },
      "and names members by JSON Pointers, as URI fragments (RFC 6901)": async () => {
        const json = { username: "pointed", password, "a/b": 0, "c~d": 0, "~1": 0, "e#f": 0, "g%h i": 0 };
        const answer = await service.send("POST", "/api/users", { json });
        expect(pointersOf(answer.json.errors)).toEqual(["#/a~1b", "#/c~0d", "#/e%23f", "#/g%25h%20i", "#/~01"].sort());
      },
      "and names at most twenty members": async () => {
        const json = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`unknown${index}`, 0]));
        const answer = await service.send("POST", "/api/users", { json });
        expect(answer.status).toBe(400);
        expect(answer.json.errors).toHaveLength(20);
      },
      "for a member whose name is empty": async () => {
        const answer = await service.send("POST", "/api/users", { json: { username: "empty", password, "": 1 } });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.json.errors[0]).toHaveProperty("pointer");
      },
      ...each(
        "for a username with %s",
        [
          ["no characters", ""],
          ["a colon", "mi:guel"],
          ["a space", "mi guel"],
          ["NUL", "mi\u0000guel"],
          ["a lone surrogate", "mi\ud800guel"],
          ["65 code points", "x".repeat(65)],
          ["a zero-width joiner", "mi\u200dguel"],
          ["an emoji", "miguel😀"],
          ["a mix of directions", "miguelאבי"],
          ["the form of a token", "eyJabc.def"],
          ["the form of an API key", `lk_${"0".repeat(49)}`],
          ["the form of an API key in capitals", `LK_${"A".repeat(49)}`],
          ["nearly the form of an API key", `lk_${"-".repeat(32)}`],
        ],
        async (_label, username) => {
          const answer = await register(username);
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.json.errors[0].pointer).toBe("#/username");
        },
      ),
      ...each(
        "for a password with %s, and stores nothing",
        [
          ["NUL", "correct\u0000horse"],
          ["a lone surrogate", "correct horse \udfff"],
          ["no characters", ""],
        ],
        async (_label, secret) => {
          const answer = await register("somebody", secret);
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.json.errors[0].pointer).toBe("#/password");
          expect(await isStored("somebody")).toBe(false);
        },
      ),
      ...each<[string, string | Buffer]>(
        "for a body of %s, and stores nothing",
        [
          ["no bytes", ""],
          ["malformed JSON", "{username:"],
          ["another type", '"miguel"'],
          ["an array", "[]"],
          ["null", "null"],
          ["bytes that are not UTF-8", Buffer.from('{"username":"proto","password":"correct \xff horse"}', "latin1")],
          ["deep nesting", `${"[".repeat(8000)}${"]".repeat(8000)}`],
          ["__proto__", '{"username":"proto","password":"correct horse battery","__proto__":{"admin":true}}'],
          ["constructor", '{"username":"proto","password":"correct horse battery","constructor":{"prototype":1}}'],
        ],
        async (_label, body) => {
          const headers = { "content-type": "application/json" };
          const answer = await service.send("POST", "/api/users", { body, headers });
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(await isStored("proto")).toBe(false);
        },
      ),
    },
    409: {
      "for a name that is taken, in any case and normal form": async () => {
        expect((await register("José")).status).toBe(201);
        for (const same of ["José", "JOSÉ", "jose\u0301", "ＪＯＳÉ"]) {
          expect(await register(same), same).toMatchObject({ status: 409, problem: "username-taken" });
        }
      },
    },
    413: {
      "for a body in thousands of chunks, before each is kept": async () => {
        const head =
          "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        const answer = await sendRaw(service.url, head + "1\r\n \r\n".repeat(4_000), "POST", "/api/users");
        expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
        expect(answer.header("connection")).toBe("close");
      },
    },
    422: each(
      "for a password that is %s",
      [
        ["shorter than the minimum", "too-short", "python"],
        ["longer than the maximum", "too-long", "long ".repeat(30)],
        ["longer than the maximum in decomposed form", "too-long", "e\u0301".repeat(129)],
        ["common", "too-common", "PasswordPassword"],
        ["predictable", "too-predictable", "Summer2026Summer2026"],
        ["made of the username", "contains-username", "the one and only WEAKLING"],
      ],
      async (_label, reason, secret) => {
        const answer = await register("weakling", secret);
        expect(answer).toMatchObject({ status: 422, problem: "password-refused", json: { reason } });
      },
    ),
    429: {
      "after too many registrations from one address": async () => {
        const strict = await startTestService({ THROTTLE_REGISTRATIONS: "1" });
        strict.advance(toNextWindowSeconds());
        const first = await strict.send("POST", "/api/users", { json: { username: "first", password } });
        expect(first.status).toBe(201);
        const answer = await strict.send("POST", "/api/users", { json: { username: "second", password } });
        expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
      },
    },
  },
});
