/** No password, token or key is ever in the log or in an answer that it does not belong in. */
import { expect, test } from "vitest";
import { basicAuthorization } from "./support/client.ts";
import { secretKey, startTestService } from "./support/service.ts";

const service = await startTestService();

test("secrets that are planted everywhere are not in the log", async () => {
  const secret = (name: string) => `planted-${name}-secret`;
  const password = secret("password");
  const register = { username: "gardener", password };
  await service.send("POST", "/api/users", { json: register });
  const token = (await service.send("GET", "/api/token", { basic: ["gardener", password] })).json.token as string;

  const answers = [
    await service.send("POST", "/api/users", { json: register }),
    await service.send("POST", "/api/users", { json: { ...register, [secret("field")]: secret("value") } }),
    await service.send("POST", "/api/users", {
      body: `{"password":"${password}"`,
      headers: { "content-type": "application/json" },
    }),
    await service.send("GET", `/api/users/${secret("path")}`, { basic: ["gardener", password] }),
    await service.send("GET", `/${secret("nowhere")}?password=${password}`),
    await service.send("GET", `/api/token?password=${password}`, { basic: ["gardener", password] }),
    await service.send("GET", "/api/resource", { bearer: secret("bearer") }),
    await service.send("GET", "/api/resource", {
      basic: [secret("name"), secret("wrong")],
      headers: { "x-secret": secret("header") },
    }),
    await service.send("PUT", "/api/users/me/password", {
      bearer: token,
      json: { current_password: secret("current"), new_password: secret("new") },
    }),
  ];
  await service.withBrokenTables(async () => {
    answers.push(await service.send("GET", "/api/resource", { basic: ["gardener", password] }));
    answers.push(await service.send("POST", "/api/users", { json: { username: secret("username"), password } }));
    answers.push(await service.send("GET", "/api/resource", { bearer: token }));
  });

  // Postgres tells the whole row of a violated constraint, the hash in it too.
  await service.sql(`ALTER TABLE users ADD CONSTRAINT never CHECK (username <> '${secret("row")}')`);
  const unforeseen = await service.send("POST", "/api/users", { json: { username: secret("row"), password } });
  expect(unforeseen).toMatchObject({ status: 500 });
  answers.push(unforeseen);

  const log = service.log.join("");
  expect(log).toContain("invalid-credentials");
  expect(log).toContain("internal-error");
  const planted = [
    "planted-",
    token,
    token.split(".")[2] as string,
    secretKey,
    basicAuthorization(["gardener", password]),
    "$argon2id$",
  ];
  for (const text of planted) {
    for (const form of [
      text,
      encodeURIComponent(text),
      Buffer.from(text).toString("base64"),
      Buffer.from(text).toString("hex"),
    ]) {
      expect(log).not.toContain(form);
    }
  }
  for (const { text } of answers) {
    for (const form of [
      password,
      token,
      secret("value"),
      secret("wrong"),
      secret("current"),
      secret("new"),
      "$argon2id$",
    ]) {
      expect(text).not.toContain(form);
    }
  }
});

test("every line of a request has its id, the one that the client got", async () => {
  const answer = await service.send("GET", "/livez");
  const line = JSON.parse(service.log.at(-1) ?? "{}");
  expect(line.req.id).toBe(answer.header("x-request-id"));
  expect(line).toMatchObject({ operation: "getLiveness", res: { status: 200 } });
});
